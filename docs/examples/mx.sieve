# What happens to mail that arrives on port 25.
require ["envelope", "extlists", "variables", "relational", "comparator-i;ascii-numeric", "ereject", "vnd.gatepost.mta"];

stage "connect" {
	milter "rspamd";
}

stage "rcpt" {
	if not envelope :domain :list "to" ":table:domains" {
		ereject :code 554 :status "5.7.1" "We do not relay for ${rcpt.domain}";
	} elsif lookup :as "target" "aliases" ["${rcpt.to}", "${rcpt.local}"] {
		redirect "${target}";
	} else {
		policy "postgrey";
		deliver "dovecot";
	}
}

stage "message" {
	if header :value "ge" :comparator "i;ascii-numeric" "X-Spam-Score" "15" {
		ereject :status "5.7.1" "This looks like spam";
	}
}
