/* Loading a library; see library.h. */
#include "base/library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

void library_load(struct library *lib)
{
	void *handle = dlopen(lib->soname, RTLD_NOW | RTLD_LOCAL);

	if (handle == NULL) {
		snprintf(lib->problem, sizeof(lib->problem), "%s", dlerror());
		return;
	}
	for (size_t i = 0; i < lib->nsymbols; i++) {
		void *address = dlsym(handle, lib->symbols[i].name);

		if (address == NULL) {
			snprintf(lib->problem, sizeof(lib->problem), "%s", dlerror());
			return;
		}
		memcpy((char *)lib->table + lib->symbols[i].offset, &address, sizeof(address));
	}
}

int library_loaded(const struct library *lib, struct err *err)
{
	if (lib->problem[0] == '\0')
		return 0;
	return err_set(err, ERR_FAILED, "%s is needed here and cannot be loaded: %s", lib->soname,
		       lib->problem);
}
