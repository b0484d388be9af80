/* fuzz_config.c: any text as gatepost.conf, up to the meaning of each value; nothing it names is opened. */
#include "lib/base/mem.h"
#include "mta/config_listener.h"
#include "mta/kinds.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_every_way(struct reader *r, cfg_t *section, const char *name)
{
	static const char *const words[] = { "accept", "reject", NULL };
	(void)reader_duration(r, section, name, 1);
	(void)reader_size(r, section, name, 1);
	(void)reader_number(r, section, name, 1, 0, 100);
	(void)reader_bool(r, section, name, false);
	(void)reader_word(r, section, name, words, 0);
	(void)reader_path(r, section, name);
	for (unsigned i = 0; i < reader_count(section, name); i++)
		(void)reader_line(r, section, name, i);
}

static void read_section(struct reader *r, cfg_t *section)
{
	(void)reader_section_line(r, section);
	for (const cfg_opt_t *o = section->opts; o->name; o++)
		for (unsigned i = 0; o->type == CFGT_SEC && i < cfg_size(section, o->name); i++)
			read_section(r, cfg_getnsec(section, o->name, i));
	for (const cfg_opt_t *o = section->opts; o->name; o++)
		if (o->type != CFGT_SEC)
			read_every_way(r, section, o->name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cfg_opt_t settings[8] = { READER_VALUE("hostname"), READER_TITLED("listener", config_listener_settings) };
	struct arena arena = { 0 };
	struct buf err = { 0 };
	struct reader r;
	for (unsigned i = 0; i < kind_count && i < 5; i++)
		settings[2 + i] = (cfg_opt_t)READER_TITLED(kinds[i].section, kinds[i].settings);
	if (reader_parse(&r, "f/gatepost.conf", bytes_make(data, size), settings, &arena, &err) == 0)
		read_section(&r, r.root);
	reader_close(&r);
	arena_fini(&arena);
	buf_fini(&err);
	return 0;
}
