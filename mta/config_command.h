/* config_command.h: sockets that may be commands, which gatepost runs itself, and the settings for those. */
#ifndef GATEPOST_MTA_CONFIG_COMMAND_H
#define GATEPOST_MTA_CONFIG_COMMAND_H

#include "mta/config.h"
#include "mta/reader.h"

#define CONFIG_COMMAND_SETTINGS                                                                                   \
	READER_LIST("socket"), READER_VALUE("max_connections"), READER_VALUE("user"), READER_VALUE("group"),      \
	    READER_LIST("environment"), READER_VALUE("time_limit")

struct config_sockets {
	const char **endpoints;         /* tried */
	unsigned count;
	unsigned *commands;             /* of each that is a command: its number among C's */
	unsigned command_count;
	unsigned at_once;               /* max_connections; 0: no limit, which is what there is for sockets when nothing is said */
};
/* Reads "socket" of a section whose kind can use commands; those must be such as could be run now.  Without any, settings that are for
 * them only are refused. */
void config_command_read_sockets(struct reader *r, cfg_t *section, struct config *c, struct config_sockets *ret);
/* E was read from the Ith of the list setting NAME: complains of a unix socket that would be another one from another folder. */
void config_command_check_path(struct reader *r, cfg_t *section, const char *name, unsigned i, const struct endpoint *e);
int64_t config_command_time_limit(struct reader *r, cfg_t *section);

#endif
