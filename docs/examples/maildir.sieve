require ["envelope", "vnd.gatepost.mta"];
stage "rcpt" {
	if envelope :domain "to" "example.org" { deliver "local"; }
}
