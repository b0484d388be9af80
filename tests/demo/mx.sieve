require ["envelope", "extlists", "variables", "ereject", "vnd.gatepost.mta"];

stage "connect" {
	milter "rspamd";
}
stage "rcpt" {
	if lookup :as "original" "srs" "${rcpt.to}" {
		# A bounce of mail that we forwarded: back to who sent it.
		set "mail.x_returned" "${original}";
		redirect "${original}";
	} elsif string "${rcpt.to}" "${mail.x_returned}" {
		deliver "outside";
	} elsif envelope :domain :list "to" ":table:domains" {
		policy "postgrey";
		deliver "dovecot";
	} else {
		ereject :code 554 :status "5.7.1" "We do not relay for ${rcpt.domain}";
	}
}
