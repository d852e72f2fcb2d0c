/* Loading a library; see library.h. */
#include "base/library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* One at a time: that is rare, and takes milliseconds. */
static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;

static void fill_table(struct library *lib)
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

const void *library_table(struct library *lib, struct err *err)
{
	if (!atomic_load_explicit(&lib->tried, memory_order_acquire)) {
		pthread_mutex_lock(&loading);
		if (!lib->tried) {
			fill_table(lib);
			if (lib->problem[0] == '\0' && lib->loaded != NULL)
				lib->loaded();
			atomic_store_explicit(&lib->tried, true, memory_order_release);
		}
		pthread_mutex_unlock(&loading);
	}
	if (lib->problem[0] == '\0')
		return lib->table;
	err_set(err, ERR_FAILED, "%s is needed here and cannot be loaded: %s", lib->soname,
		lib->problem);
	return NULL;
}
