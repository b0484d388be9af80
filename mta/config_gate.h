/* config_gate.h: the settings that all gates share: on_failure, total_timeout, shadow. */
#ifndef GATEPOST_MTA_CONFIG_GATE_H
#define GATEPOST_MTA_CONFIG_GATE_H

#include "lib/gate/gate.h"
#include "mta/reader.h"

extern cfg_opt_t config_gate_on_failure_settings[];
#define CONFIG_GATE_SETTINGS                                                                                      \
	READER_VALUE("on_failure"), READER_SECTION("on_failure" CONFIG_TEXT_SECTION_SUFFIX, config_gate_on_failure_settings), \
	    READER_VALUE("total_timeout"), READER_VALUE("shadow")

/* Reads them into G, which its kind has filled with its defaults. */
void config_gate_read(struct reader *r, cfg_t *section, struct gate *g);

#endif
