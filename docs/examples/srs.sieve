# Aliases whose mail goes on to other domains, with the sender rewritten (SRS) by postsrsd.  What these lines say in main.cf:
#	sender_canonical_maps = tcp:127.0.0.1:10001
#	sender_canonical_classes = envelope_sender
#	recipient_canonical_maps = tcp:127.0.0.1:10002
#	recipient_canonical_classes = envelope_recipient
require ["envelope", "variables", "ereject", "vnd.gatepost.mta"];

stage "rcpt" {
	# Bounces to an SRS address go back to who sent the message.
	if lookup :canonical :as "rcpt.to" "srs_reverse" "${rcpt.to}" {}

	if not string :matches "${rcpt.original}" "*@example.org" {
		ereject :code 554 "We do not relay for ${rcpt.domain}";
	} elsif lookup :virtual :as "to" "virtual" "${rcpt.to}" {
		redirect "${to}";
	} elsif lookup :recipient "users" "${rcpt.to}" {
		deliver "dovecot";
	} elsif envelope :domain "to" "example.org" {
		ereject :status "5.1.1" "User unknown: ${rcpt.to}";
	} else {
		# An alias, or a bounce: it was ours when it came.
		deliver "out";
	}
}

stage "message" {
	# Last: filters, and policy servers that check SPF, are to hear of the sender as it came.
	if lookup :canonical :as "mail.from" "srs_forward" "${mail.from}" {}
}
