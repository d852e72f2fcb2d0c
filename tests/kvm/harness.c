/* A machine with the tiny kernel in this process; see harness.h. */
#include "tests/kvm/harness.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"
#include "format/image/frame_cache.h"
#include "format/image/image_pack.h"
#include "snapshot/resume.h"
#include "snapshot/save.h"
#include "tests/await.h"

/* How often a silent machine is looked at. */
#define LOOK_S 1

static void must(int ret, const struct err *err, const char *what)
{
	cr_assert(ret >= 0, "%s: %s", what, err->text);
}

bool have_kvm(void)
{
	struct kvm kvm;
	struct err err;

	if (kvm_open_device(&kvm, &err) < 0) {
		fprintf(stderr, "SKIP: %s\n", err.text);
		return false;
	}
	kvm_close(&kvm);
	return true;
}

bool can_log(void)
{
	struct kvm kvm;
	struct err err;
	bool can;

	if (!have_kvm() || kvm_open(&kvm, &err) < 0)
		return false;
	can = kvm_enable_dirty_log(&kvm, &err) >= 0;
	if (!can)
		fprintf(stderr, "SKIP: %s\n", err.text);
	kvm_close(&kvm);
	return can;
}

static void remove_scratch(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf /tmp/torpor-kvm.%d", (int)getpid());
	if (system(command) != 0)
		fprintf(stderr, "could not run: %s\n", command);
}

const char *scratch_path(const char *name)
{
	static char path[256];
	char dir[64];

	snprintf(dir, sizeof(dir), "/tmp/torpor-kvm.%d", (int)getpid());
	if (mkdir(dir, 0700) == 0)
		atexit(remove_scratch);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* From the guest's serial port, on a machine thread. */
static void collect(void *opaque, const uint8_t *data, size_t len)
{
	struct guest *g = opaque;

	pthread_mutex_lock(&g->lock);
	for (size_t i = 0; i < len && g->length < sizeof(g->output) - 1; i++) {
		if (data[i] != '\r')
			g->output[g->length++] = (char)data[i];
	}
	g->output[g->length] = '\0';
	pthread_cond_broadcast(&g->grown);
	pthread_mutex_unlock(&g->lock);
}

/* Take lines until one begins with `start`; false when there is none. With g->lock. */
static bool take_line(struct guest *g, const char *start)
{
	char *line = g->output + g->seen, *end;

	while ((end = strchr(line, '\n')) != NULL) {
		size_t len = (size_t)(end - line);

		g->seen = (size_t)(end + 1 - g->output);
		if (strncmp(line, start, strlen(start)) == 0 && len < sizeof(g->reply)) {
			memcpy(g->reply, line, len);
			g->reply[len] = '\0';
			return true;
		}
		line = end + 1;
	}
	return false;
}

/* Until the guest says more. False when it will not: the machine has ended or is broken, or has
 * said nothing for longer than anything takes. With g->lock. */
static bool await_more(struct guest *g)
{
	size_t length = g->length;
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	for (unsigned s = 0; s < AWAIT_S && g->length == length; s += LOOK_S) {
		if (g->over || machine_is_broken(&g->machine))
			return false;
		until.tv_sec += LOOK_S;
		(void)pthread_cond_timedwait(&g->grown, &g->lock, &until);
	}
	return g->length != length;
}

/* The next line that begins with `start`; lines before it are passed over. */
static const char *await_line(struct guest *g, const char *start)
{
	bool found;

	pthread_mutex_lock(&g->lock);
	while (!(found = take_line(g, start)) && await_more(g))
		;
	pthread_mutex_unlock(&g->lock);
	cr_assert(found, "the guest did not say \"%s…\"%s; it said:\n%s", start,
		  g->over ? " before the machine ended" : "", g->output);
	return g->reply;
}

static void *run_thread(void *opaque)
{
	struct guest *g = opaque;

	if (machine_run(&g->machine, g->paused, &g->run_err) < 0)
		fprintf(stderr, "machine_run: %s\n", g->run_err.text);
	pthread_mutex_lock(&g->lock);
	g->over = true;
	pthread_cond_broadcast(&g->grown);
	pthread_mutex_unlock(&g->lock);
	return NULL;
}

static void open_disks(struct guest *g, struct board_bindings *bindings,
		       const struct guest_spec *spec)
{
	struct err err;

	must(frame_cache_new(&g->frames, 16, &err), &err, "frame_cache_new");
	for (uint32_t i = 0; i < g->appliance.ndisks; i++) {
		struct disk_params params = {
			.id = g->appliance.disk[i].id,
			.readonly = g->appliance.disk[i].readonly,
			.size = g->appliance.disk[i].size,
			.raw = {.fd = -1},
			.scratch_dir = "/tmp",
		};

		struct image_layers layers;

		if (g->chain != NULL) {
			must(chain_disk(g->chain, i, &layers, &err), &err, "chain_disk");
			params.layers = &layers;
			params.cache = g->frames;
		} else {
			params.raw = (struct blob){.fd = open(spec->disk, O_RDONLY | O_CLOEXEC),
						   .len = params.size};
		}
		must(disk_open(&bindings->disk[i], &params, &err), &err, "disk_open");
		g->disk = bindings->disk[i];
	}
}

static int build(struct guest *g, struct arch_cpu *cpu, const struct boot_source *boot,
		 const struct guest_spec *spec, struct err *err)
{
	struct machine_params params = {
		.memory = g->appliance.memory,
		.nvcpus = g->appliance.vcpus,
		.cpu = cpu,
		.boot = *boot,
		.log = {.fd = STDERR_FILENO, .prefix = "guest"},
	};
	struct board_bindings bindings = {0};
	int ret;

	open_disks(g, &bindings, spec);
	ret = machine_init(&g->machine, &params, err);
	if (ret < 0)
		return ret;
	ret = board_build(&g->board, &g->machine, &g->appliance, &bindings, err);
	if (ret < 0)
		machine_free(&g->machine);
	return ret;
}

static void start(struct guest *g)
{
	/* A test that dies takes its machine along, or it would spin for ever. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	g->board.serial->output = collect;
	g->board.serial->opaque = g;
	cr_assert(pthread_create(&g->thread, NULL, run_thread, g) == 0);
}

static void init(struct guest *g)
{
	memset(g, 0, sizeof(*g));
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->grown, NULL);
	g->kernel_fd = -1;
}

static struct arch_cpu *make_cpu(struct guest *g)
{
	struct arch_cpu *cpu = NULL;
	const char *chosen;
	struct kvm kvm;
	struct err err;

	must(kvm_open_device(&kvm, &err), &err, "kvm_open_device");
	must(arch_cpu_create(&kvm, "", &cpu, &chosen, &err), &err, "arch_cpu_create");
	kvm_close(&kvm);
	arch_cpu_needs(cpu, &g->appliance.cpu);
	return cpu;
}

static void describe(struct guest *g, const struct guest_spec *spec)
{
	struct appliance *a = &g->appliance;
	struct stat st;

	cr_assert_eq(appliance_init(a, NULL), 0);
	snprintf(a->machine, sizeof(a->machine), MACHINE_TYPE);
	snprintf(a->arch, sizeof(a->arch), ARCH_NAME);
	a->memory = spec->memory != 0 ? spec->memory : MIB(64);
	a->vcpus = spec->vcpus != 0 ? spec->vcpus : 1;
	free(a->cmdline);
	a->cmdline = strdup(spec->cmdline != NULL ? spec->cmdline : "");
	if (spec->disk == NULL)
		return;
	cr_assert(stat(spec->disk, &st) == 0, "no disk %s", spec->disk);
	a->ndisks = 1;
	a->disk[0] = (struct appliance_disk){
		.id = "disk0", .readonly = spec->disk_readonly, .size = (uint64_t)st.st_size};
}

void guest_boot(struct guest *g, const struct guest_spec *spec)
{
	const char *kernel =
		getenv("TINY_ELF") != NULL ? getenv("TINY_ELF") : "build/images/tiny.elf";
	struct boot_source boot = {0};
	struct stat st;
	struct err err;

	init(g);
	describe(g, spec);
	g->kernel_fd = open(kernel, O_RDONLY | O_CLOEXEC);
	cr_assert(g->kernel_fd >= 0 && fstat(g->kernel_fd, &st) == 0, "no kernel %s", kernel);
	boot.kernel = (struct blob){.fd = g->kernel_fd, .len = (uint64_t)st.st_size};
	boot.cmdline = g->appliance.cmdline;
	must(build(g, make_cpu(g), &boot, spec, &err), &err, "build");
	must(machine_boot(&g->machine, &err), &err, "machine_boot");
	start(g);
	await_line(g, "READY");
}

/* The file of that identity in the folder of scratch_path(). */
static int find_parent(void *opaque, const char *digest, const char *child, char *path, int *fd,
		       struct err *err)
{
	glob_t files;
	bool found = false;

	(void)opaque;
	(void)fd;
	(void)child;
	cr_assert(glob(scratch_path("*.torpor"), 0, NULL, &files) == 0);
	for (size_t i = 0; !found && i < files.gl_pathc; i++) {
		char has[DIGEST_TEXT_SIZE];

		snprintf(path, PATH_MAX, "%s", files.gl_pathv[i]);
		found = archive_identify(path, has, NULL) == 0 && strcmp(has, digest) == 0;
	}
	globfree(&files);
	return found ? 0 : err_set(err, ERR_NOT_FOUND, "no parent %s", digest);
}

static const struct chain_finder finder = {.find = find_parent};

static int try_resume(struct guest *g, const char *path, enum pager_fill fill, bool golden,
		      struct err *err)
{
	struct boot_source boot = {0};
	const struct guest_spec none = {0};
	struct load_params params = {.fill = fill};
	struct load_report report;
	int ret;

	init(g);
	ret = chain_open(&g->chain, path, NULL, &finder, err);
	if (ret < 0)
		return ret;
	params.chain = g->chain;
	must(appliance_copy(&g->appliance, archive_appliance(chain_newest(g->chain)), err), err,
	     "copy");
	chain_blob(g->chain, ROLE_KERNEL, &boot.kernel);
	boot.cmdline = g->appliance.cmdline;
	ret = build(g, NULL, &boot, &none, err);
	if (ret == 0) {
		ret = snapshot_resume(&g->machine, &params, &report, err);
		g->pager = report.pager;
		if (ret == 0 && golden)
			ret = golden_open(&g->golden, &g->machine, g->chain, err);
		else if (ret == 0)
			ret = board_new_generation(&g->board, err);
		if (ret < 0)
			machine_free(&g->machine);
	}
	if (ret < 0) {
		frame_cache_free(g->frames);
		chain_close(g->chain);
		appliance_free(&g->appliance);
		return ret;
	}
	g->paused = golden;
	start(g);
	return 0;
}

int guest_try_resume(struct guest *g, const char *path, struct err *err)
{
	return try_resume(g, path, PAGER_FILL_IDLE, false, err);
}

void guest_resume(struct guest *g, const char *path)
{
	guest_resume_filled(g, path, PAGER_FILL_IDLE);
}

void guest_resume_filled(struct guest *g, const char *path, enum pager_fill fill)
{
	struct err err;

	must(try_resume(g, path, fill, false, &err), &err, "resume");
}

void guest_resume_golden(struct guest *g, const char *path, enum pager_fill fill)
{
	struct err err;
	bool paused = false;

	must(try_resume(g, path, fill, true, &err), &err, "resume");
	while (!paused) {
		pthread_mutex_lock(&g->machine.lock);
		paused = g->machine.state == MACHINE_PAUSED;
		pthread_mutex_unlock(&g->machine.lock);
	}
}

void guest_reset(struct guest *g, struct golden_reset *did)
{
	struct err err;

	pthread_mutex_lock(&g->machine.lock);
	machine_pause(&g->machine);
	must(golden_reset(g->golden, did, &err), &err, "reset");
	pthread_mutex_unlock(&g->machine.lock);
}

/* Bytes go in as the port takes them. */
static void type(struct guest *g, const char *text)
{
	size_t len = strlen(text), done = 0;

	while (done < len) {
		pthread_mutex_lock(&g->machine.lock);
		done += g->board.serial->input(g->board.serial, (const uint8_t *)text + done,
					       len - done);
		pthread_mutex_unlock(&g->machine.lock);
		if (done < len)
			usleep(1000);
	}
}

/* What was said before is forgotten. */
void guest_send(struct guest *g, const char *line)
{
	pthread_mutex_lock(&g->lock);
	g->seen = g->length = 0;
	g->output[0] = '\0';
	pthread_mutex_unlock(&g->lock);
	type(g, line);
	type(g, "\n");
}

const char *guest_say(struct guest *g, const char *command)
{
	guest_send(g, command);
	return await_line(g, "");
}

uint64_t guest_number(struct guest *g, const char *command)
{
	const char *space = strchr(guest_say(g, command), ' ');

	return space != NULL ? strtoull(space, NULL, 10) : 0;
}

void guest_await_more(struct guest *g, const char *command, uint64_t than)
{
	AWAIT(guest_number(g, command) > than);
	cr_assert(guest_number(g, command) > than, "\"%s\" does not grow", command);
}

void guest_restart(struct guest *g, const char *command)
{
	guest_send(g, command);
	await_line(g, "READY");
}

void *guest_memory(struct guest *g, uint64_t offset, uint64_t len)
{
	void *at = mem_at_write(&g->machine.mem, g->machine.mem.range[0].gpa + offset, len);

	cr_assert(at != NULL, "%#llx is not in memory", (unsigned long long)offset);
	return at;
}

void guest_pause(struct guest *g)
{
	pthread_mutex_lock(&g->machine.lock);
	machine_pause(&g->machine);
	pthread_mutex_unlock(&g->machine.lock);
}

void guest_unpause(struct guest *g)
{
	pthread_mutex_lock(&g->machine.lock);
	machine_unpause(&g->machine);
	pthread_mutex_unlock(&g->machine.lock);
}

static void describe_disk(struct guest *g, bool increment, struct save_disk *save)
{
	if (increment) {
		disk_changes_source(g->disk, &save->overlay);
		save->has_overlay = true;
		return;
	}
	disk_base_source(g->disk, &save->base_source, &save->base_image);
	save->has_overlay = !disk_pristine(g->disk);
	disk_overlay_source(g->disk, &save->overlay);
}

static int save(struct guest *g, const char *path, const struct chain *parent, struct err *err)
{
	struct save_params params = {
		.path = path,
		.appliance = &g->appliance,
		.flat = g->flat,
		.level = IMAGE_PACK_LEVEL,
		.pager = g->pager,
		.parent = parent,
	};
	int ret;

	g->appliance.live = true;
	g->appliance.generation++;
	g->appliance.saved_ns = (uint64_t)time(NULL) * 1000000000;
	g->appliance.increment = parent != NULL;
	snprintf(g->appliance.name, sizeof(g->appliance.name), "test");
	if (g->appliance.ndisks > 0)
		describe_disk(g, parent != NULL, &params.disk[0]);
	pthread_mutex_lock(&g->machine.lock);
	ret = snapshot_save(&g->machine, &params, err);
	pthread_mutex_unlock(&g->machine.lock);
	return ret;
}

int guest_save(struct guest *g, const char *path, struct err *err)
{
	return save(g, path, NULL, err);
}

void guest_save_increment(struct guest *g, const char *path, const char *parent)
{
	struct chain *chain;
	struct err err;

	must(chain_open(&chain, parent, NULL, &finder, &err), &err, "parent");
	must(chain_load_hashes(chain, &err), &err, "hashes");
	strcpy(g->appliance.parent, archive_digest(chain_newest(chain)));
	must(save(g, path, chain, &err), &err, "save");
	chain_close(chain);
	pthread_mutex_lock(&g->machine.lock);
	must(dirty_rebase(&g->machine.dirty, &err), &err, "rebase");
	pthread_mutex_unlock(&g->machine.lock);
}

enum machine_end guest_wait_end(struct guest *g)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += AWAIT_S;
	cr_assert(pthread_timedjoin_np(g->thread, NULL, &until) == 0, "the machine did not end");
	g->thread = 0;
	return g->machine.end;
}

void guest_stop(struct guest *g)
{
	if (g->thread != 0) {
		pthread_mutex_lock(&g->machine.lock);
		machine_end(&g->machine, MACHINE_END_KILLED);
		pthread_mutex_unlock(&g->machine.lock);
		guest_wait_end(g);
	}
	pager_stop(g->pager);
	golden_close(g->golden);
	machine_free(&g->machine);
	frame_cache_free(g->frames);
	chain_close(g->chain);
	if (g->kernel_fd >= 0)
		close(g->kernel_fd);
	appliance_free(&g->appliance);
}
