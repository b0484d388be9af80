/*
 * smtp_envelope.h: what MAIL and RCPT say to a next hop, given what it can do.  No I/O.
 */
#ifndef GATEPOST_DELIVERY_SMTP_ENVELOPE_H
#define GATEPOST_DELIVERY_SMTP_ENVELOPE_H

#include "delivery/delivery.h"
#include "lib/smtp/client_codec.h"

/* Refuses, before anything is sent, what the next hop cannot take: sets the reply of each target concerned (5xx).
 *
 *	552 5.3.4  larger than its SIZE                         554 5.6.3  BINARYMIME without BINARYMIME and CHUNKING
 *	550 5.6.7  an address in UTF-8 without SMTPUTF8         554 5.6.9  a header in UTF-8 declared as such (SMTPUTF8), without it
 *
 * A body of 8 bits goes as it is to a server without 8BITMIME: nothing is known to break but such servers themselves, and refusing would lose
 * what arrives today (Postfix converts to quoted-printable, which breaks signatures). */
void smtp_envelope_check(struct delivery_group *g, const struct smtp_caps *caps);

/* The command with its CR LF, appended to TO.  MAIL: SMTPUTF8 when UTF8_RCPT (an address among the recipients) or the message needs it. */
void smtp_envelope_mail(const struct gate_txn *txn, const struct smtp_caps *caps, bool utf8_rcpt, struct buf *to);
void smtp_envelope_rcpt(const struct smtp_address *address, const struct smtp_path *given, const struct smtp_caps *caps, struct buf *to);

#endif
