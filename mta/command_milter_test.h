/* command_milter_test.h: gatepost milter-test. */
#ifndef GATEPOST_MTA_COMMAND_MILTER_TEST_H
#define GATEPOST_MTA_COMMAND_MILTER_TEST_H

#include "mta/command.h"

int command_milter_test(const struct command_line *l);

#endif
