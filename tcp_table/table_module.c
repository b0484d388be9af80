/*
 * table_module.c: finding a module.  Its name is one of those in table_driven.c, never something a configuration says, and where it lies is known
 * beforehand: nobody can have another file loaded.
 */
#include "tcp_table/table_module.h"

#include "lib/base/buf.h"
#include "lib/base/mem.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#ifndef GATEPOST_MODULES
#define GATEPOST_MODULES "/usr/local/lib/gatepost"
#endif

/* Those of a program in its build tree: other versions may be installed. */
static char *module_beside(const char *type)
{
	struct buf self = { 0 };
	char *path = NULL;
	ssize_t n = readlink("/proc/self/exe", buf_room(&self, PATH_MAX), PATH_MAX);

	if (n > 0)
		buf_grown(&self, (size_t)n);
	ptrdiff_t slash = bytes_rfind(buf_bytes(&self), '/');
	if (slash >= 0)
		path = mem_printf("%.*s/modules/table_%s.so", (int)slash, self.p, type);
	buf_fini(&self);
	return path;
}

static char *module_path(const char *type)
{
	char *path = module_beside(type);
	if (path && access(path, F_OK) == 0)
		return path;
	mem_free(path);
	return mem_printf("%s/table_%s.so", GATEPOST_MODULES, type);
}

static int module_check(const struct table_driver *d, const char *path, const char *type, struct buf *err)
{
	if (!d)
		buf_printf(err, "%s is no module of gatepost", path);
	else if (strcmp(d->version, GATEPOST_VERSION) != 0)
		buf_printf(err, "%s belongs to gatepost %s, and this is %s", path, d->version, GATEPOST_VERSION);
	else if (strcmp(d->type, type) != 0)
		buf_printf(err, "%s is for tables of type %s", path, d->type);
	else
		return 0;
	return -ENOEXEC;
}

static int module_open(
    const char *path, const char *type, const char *library, const struct table_driver **ret, struct buf *err)
{
	if (access(path, F_OK) < 0) {
		buf_printf(
		    err, "tables of type %s need the module %s: gatepost was built without %s", type, path, library);
		return -ENOENT;
	}
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		buf_printf(
		    err, "cannot load the module for tables of type %s, which needs %s: %s", type, library, dlerror());
		return -ENOEXEC;
	}
	/* Never closed again: libraries leave threads and exit handlers behind. */
	const struct table_driver *d = dlsym(handle, "table_driver");
	int r = module_check(d, path, type, err);
	if (r == 0)
		*ret = d;
	return r;
}

int table_module_load(const char *type, const char *library, const struct table_driver **ret, struct buf *err)
{
	char *path = module_path(type);
	int r = module_open(path, type, library, ret, err);
	mem_free(path);
	return r;
}
