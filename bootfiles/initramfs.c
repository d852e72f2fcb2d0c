/* See initramfs.h. */
#include "bootfiles/initramfs.h"

#include <errno.h>
#include <stdio.h>

#include "base/arch.h"
#include "base/cleanup.h"
#include "base/num.h"
#include "bootfiles/cpio.h"
#include "bootfiles/modules.h"
#include "guest/init_bytes.h"
#include "guest/init_config.h"

#define ROOT_DEVICE "/dev/vda"
#define ROOT_TYPE   "ext4"

/* Without these the guest does not start, or has not what an image expects. */
static const char *const needed[] = {
	"virtio_mmio", "virtio_blk", "virtio_console", "virtio_net", "ext4",
};

/* Without these something is lacking: entropy at the first moment, memory given back, the power
 * button, what DHCP clients and tcpdump of an image use; a checksum that ext4 may want and that is
 * not among what it says it depends on. */
static const char *const useful[] = {
	"crc32c_generic", "virtio_rng", "virtio_balloon", ARCH_POWER, "evdev", "af_packet",
};

static int load_modules(struct modules *m, const struct initramfs_params *p, struct err *err)
{
	int ret = modules_open(m, p->modules, err);

	for (size_t i = 0; ret == 0 && i < ARRAY_SIZE(useful); i++) {
		if (modules_has(m, useful[i]))
			ret = modules_load(m, useful[i], err);
	}
	for (size_t i = 0; ret == 0 && i < ARRAY_SIZE(needed); i++)
		ret = modules_load(m, needed[i], err);
	if (ret == 0 && p->nshares > 0)
		ret = modules_load(m, "virtiofs", err);
	if (ret == 0 && p->vsock)
		ret = modules_load(m, "vmw_vsock_virtio_transport", err);
	for (size_t i = 0; ret == 0 && i < p->nextra; i++)
		ret = modules_load(m, p->extra[i], err);
	return ret;
}

static void write_files(struct buf *out, const struct modules *m, const struct buf *config)
{
	struct cpio cpio = {.out = out};
	char path[MODULE_NAME_SIZE + 16];

	cpio_folder(&cpio, "dev");
	/* The kernel opens it for process 1, before anything is mounted. */
	cpio_device(&cpio, "dev/console", 0600, 5, 1);
	cpio_folder(&cpio, "modules");
	for (size_t i = 0; i < m->nmodules; i++) {
		snprintf(path, sizeof(path), "modules/%s.ko", m->module[i].name);
		cpio_file(&cpio, path, 0644, m->module[i].data, m->module[i].len);
	}
	cpio_file(&cpio, &INIT_CONFIG_PATH[1], 0600, config->data, config->len);
	cpio_file(&cpio, "init", 0755, init_bytes, init_bytes_len);
	cpio_end(&cpio);
}

static int write_config(const struct modules *m, const struct initramfs_params *p,
			struct buf *config, struct err *err)
{
	char(*path)[MODULE_NAME_SIZE + 16] = calloc(m->nmodules + 1, sizeof(*path));
	const char **list = calloc(m->nmodules + 1, sizeof(*list));
	const struct setup setup = {
		.image = p->image,
		.command = p->command,
		.root = ROOT_DEVICE,
		.root_type = ROOT_TYPE,
		.hostname = p->hostname,
		.share = p->share,
		.nshares = p->nshares,
		.modules = list,
		.nmodules = m->nmodules,
	};
	int ret = -ENOMEM;

	if (path != NULL && list != NULL) {
		for (size_t i = 0; i < m->nmodules; i++) {
			snprintf(path[i], sizeof(path[i]), "/modules/%s.ko", m->module[i].name);
			list[i] = path[i];
		}
		ret = setup_write(&setup, config, err);
	} else {
		err_sys(err, ENOMEM, "make an initramfs");
	}
	free(path);
	free(list);
	return ret;
}

int initramfs_make(const struct initramfs_params *params, struct buf *out, struct err *err)
{
	cleanup_buf struct buf config = {0};
	struct modules m = {0};
	int ret = load_modules(&m, params, err);

	if (ret == 0)
		ret = write_config(&m, params, &config, err);
	if (ret == 0) {
		write_files(out, &m, &config);
		if (buf_failed(out))
			ret = err_sys(err, ENOMEM, "make an initramfs");
	}
	modules_close(&m);
	return ret;
}
