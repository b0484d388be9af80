/*
 * command.h: the commands of gatepost: what stands behind `gatepost [-c FILE]`.
 *
 * Each answers with an exit code of sysexits(3), and prints what is wrong on the standard error output.
 */
#ifndef GATEPOST_MTA_COMMAND_H
#define GATEPOST_MTA_COMMAND_H

struct command_line {
	const char *file;       /* gatepost.conf */
	char **rest;            /* behind the command, NULL at the end */
};

/* Prints the usage of all commands: EX_USAGE. */
int command_bad_usage(void);

/* command_hold.c */
int command_hold(const struct command_line *l);

/* command_table.c */
int command_table(const struct command_line *l);

#endif
