/*
 * config_text.h: gatepost.conf before libconfuse sees it.
 *
 * libconfuse counts one line too many after each C comment, drops characters it does not know, knows a name either as a value or as a section,
 * and says nothing useful of a string that never ends.  So its input is made plain first: comments become blanks, line for line, and
 * `on_failure {` (as against `on_failure = word`) is given a name of its own.
 */
#ifndef GATEPOST_MTA_CONFIG_TEXT_H
#define GATEPOST_MTA_CONFIG_TEXT_H

#include "lib/base/buf.h"

/* What `on_failure {` is called in the plain text. */
#define CONFIG_TEXT_SECTION_SUFFIX "_section"

struct config_text {
	struct buf plain;
	int *opened;            /* by the line on which a section is closed: the line on which it was opened; 0 for other lines */
	int lines;
};
/* -EINVAL with "LINE: sentence" in ERR: a NUL byte, a string, comment or section without end, a character that has to be quoted.  RET is to be
 * given to config_text_fini() in any case. */
int config_text_init(struct bytes text, struct config_text *ret, struct buf *err) __attribute__((warn_unused_result));
void config_text_fini(struct config_text *t);
int config_text_opened(const struct config_text *t, int closed);

#endif
