/* config_listener.h: the listener sections of gatepost.conf. */
#ifndef GATEPOST_MTA_CONFIG_LISTENER_H
#define GATEPOST_MTA_CONFIG_LISTENER_H

#include "mta/config.h"
#include "mta/reader.h"

extern cfg_opt_t config_listener_settings[];
/* Every listener, its script compiled and probed.  What the scripts name must have been read before. */
void config_listeners_read(struct reader *r, struct config *c);

#endif
