/*
 * maildir_path.h: where a recipient's maildir is, and what a file in it is called.  No I/O.
 */
#ifndef GATEPOST_DELIVERY_MAILDIR_PATH_H
#define GATEPOST_DELIVERY_MAILDIR_PATH_H

#include "lib/base/buf.h"
#include "lib/smtp/address.h"

/* Checks a template ("/var/vmail/%d/%n") at start: absolute, no unknown variable.  -EINVAL with a sentence appended to ERR. */
int maildir_path_check(const char *template, struct buf *err) __attribute__((warn_unused_result));
/* How long the part of TEMPLATE is that does not depend on the recipient: up to the last '/' before the first variable, at least 1. */
size_t maildir_path_fixed(const char *template);
/* The recipient's maildir, appended to TO.  -EINVAL when the address has a part that cannot name a folder. */
int maildir_path_expand(const char *template, const struct smtp_address *rcpt, struct buf *to) __attribute__((warn_unused_result));

/* TIME.M<usec>P<pid>Q<count>.HOST, as https://cr.yp.to/proto/maildir.html wants it; a '/' or ':' of the host name becomes \057, \072. */
void maildir_path_name(const char *hostname, struct buf *to);

#endif
