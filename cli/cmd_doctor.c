/* torpor doctor: what this host can do for us, and what to do about each lack. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "cli/command.h"
#include "cli/guest_speed.h"
#include "cli/json_out.h"
#include "devices/net/slirp_api.h"
#include "format/crypto/lazy.h"
#include "host/landlock.h"
#include "vmm/arch.h"

#define DETAIL_COLUMN 28u /* of a line: "ok   /dev/kvm               opens" */

/* Findings, in the order of the report. An advice of "" means that all is well. */
struct finding {
	json_t *list;
	bool good; /* nothing so far that keeps machines from running */
};

static void doctor_add(struct finding *f, const char *what, bool ok, const char *detail,
		       const char *advice)
{
	json_array_append_new(f->list, json_pack("{s:s,s:b,s:s,s:s}", "what", what, "ok", (int)ok,
						 "detail", detail, "advice", ok ? "" : advice));
}

static void look_at_cpu(struct finding *f, const struct kvm *kvm)
{
	struct arch_cpu *cpu = NULL;
	const char *chosen;
	struct err err;

	if (arch_cpu_create(kvm, "", &cpu, &chosen, &err) < 0) {
		doctor_add(f, "CPU baseline", false, err.text,
			   "appliances need --cpu host here, and then run on such hosts only");
		return;
	}
	doctor_add(f, "CPU baseline", true, chosen, "");
	arch_cpu_free(cpu);
}

static void look_at_capabilities(struct finding *f, const struct kvm *kvm)
{
	for (size_t i = 0; i < arch_ncapabilities; i++) {
		const struct arch_capability *c = &arch_capabilities[i];

		doctor_add(f, c->name, kvm_extension(kvm, c->cap) > 0, c->use,
			   "a newer kernel, or a host that does not hide it");
	}
}

static const char *look_at_speed(struct finding *f)
{
	uint64_t per_second = 0;
	struct err err;
	char detail[64];
	bool hardware;

	if (guest_speed_measure(&per_second, &err) < 0) {
		f->good = false;
		doctor_add(f, "speed", false, err.text, "see dmesg");
		return "none";
	}
	hardware = per_second >= GUEST_SPEED_HARDWARE;
	snprintf(detail, sizeof(detail), "%llu million guest instructions a second",
		 (unsigned long long)(per_second / 1000000));
	doctor_add(f, "speed", hardware, detail,
		   "something interprets the guest: enable (nested) virtualization in the firmware "
		   "or the "
		   "outer hypervisor");
	return hardware ? "hardware" : "emulated";
}

/* kvm_open_device() says what is wrong and, behind the last colon, what to do. */
static void add_kvm_failure(struct finding *f, char *text)
{
	char *colon = strrchr(text, ':');

	f->good = false;
	if (colon == NULL || colon[1] != ' ') {
		doctor_add(f, "/dev/kvm", false, text, "see dmesg");
		return;
	}
	*colon = '\0';
	doctor_add(f, "/dev/kvm", false, text, colon + 2);
}

static const char *look_at_kvm(struct finding *f)
{
	struct kvm kvm;
	struct err err;

	if (kvm_open_device(&kvm, &err) < 0) {
		add_kvm_failure(f, err.text);
		return "none";
	}
	doctor_add(f, "/dev/kvm", true, "opens", "");
	look_at_cpu(f, &kvm);
	look_at_capabilities(f, &kvm);
	kvm_close(&kvm);
	return look_at_speed(f);
}

/* Faults that KVM takes in the kernel need more than the user-mode-only form. */
static const char *userfaultfd_way(void)
{
	cleanup_fd int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	cleanup_fd int call = -1;

	if (device >= 0)
		return "through /dev/userfaultfd";
	call = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	return call >= 0 ? "by system call" : NULL;
}

static void look_at_userfaultfd(struct finding *f)
{
	const char *way = userfaultfd_way();

	doctor_add(f, "userfaultfd", way != NULL, way != NULL ? way : "not permitted",
		   "give yourself /dev/userfaultfd, or sysctl vm.unprivileged_userfaultfd=1; "
		   "without it "
		   "memory that is not flat is read before a machine wakes");
}

/* Machines run without it, too. */
static void look_at_landlock(struct finding *f)
{
	int version = landlock_version();
	char detail[128] = "not in this kernel, or switched off";

	if (version > 0)
		snprintf(detail, sizeof(detail), "version %d: confines files and memory%s%s",
			 version, version >= LANDLOCK_TCP ? ", TCP" : "; not TCP",
			 version >= LANDLOCK_SCOPES ? ", signals and abstract sockets"
						    : "; not signals and abstract sockets");
	doctor_add(
		f, "Landlock", version > 0, detail,
		"boot with lsm=landlock,... (kernel 5.13 or newer): without it a machine that is "
		"broken out of reaches all files of its user");
}

static int try_crypto(struct err *err)
{
	return lazy_crypto(err) != NULL && lazy_sign(err) != NULL && lazy_cipher(err) != NULL
		       ? 0
		       : -ENOENT;
}

static int try_zstd(struct err *err)
{
	return lazy_zstd(err) != NULL ? 0 : -ENOENT;
}

static int try_slirp(struct err *err)
{
	return slirp_api(err) != NULL ? 0 : -ENOENT;
}

/* They are loaded when they are needed, so nothing else would miss them before. */
static void look_at_libraries(struct finding *f)
{
	static const struct {
		const char *name;
		int (*load)(struct err *err);
		const char *use, *advice;
	} libraries[] = {
		{"libcrypto", try_crypto, "digests, signatures, encryption",
		 "install libcrypto 3 (Debian: libssl3); no appliance can be read without it"},
		{"libzstd", try_zstd, "packed appliances",
		 "install libzstd (Debian: libzstd1); only flat appliances can be read without it"},
		{"libslirp", try_slirp, "--net user, which is the default",
		 "install libslirp 4.7 or newer (Debian: libslirp0), or give --net none"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(libraries); i++) {
		struct err err;
		bool ok = libraries[i].load(&err) == 0;

		f->good &= ok;
		doctor_add(f, libraries[i].name, ok, ok ? libraries[i].use : err.text,
			   libraries[i].advice);
	}
}

static void print_findings(const json_t *list)
{
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		const char *advice = json_string_value(json_object_get(item, "advice"));

		printf("%-4s %-22s ", json_is_true(json_object_get(item, "ok")) ? "ok" : "NO",
		       json_string_value(json_object_get(item, "what")));
		command_print_filled(json_string_value(json_object_get(item, "detail")),
				     DETAIL_COLUMN, DETAIL_COLUMN, stdout);
		if (advice[0] != '\0') {
			printf("%*s→ ", (int)DETAIL_COLUMN, "");
			command_print_filled(advice, DETAIL_COLUMN + 2, DETAIL_COLUMN + 2, stdout);
		}
	}
}

static int cmd_doctor_run(struct options *opts, struct err *err)
{
	struct finding f = {.good = true};
	const char *speed;
	bool json = false;
	int ret = options_flags(opts, OPTION_JSON, &json, err);

	if (ret < 0)
		return ret;
	ret = options_end(opts, err);
	if (ret < 0)
		return ret;
	f.list = json_array();
	speed = look_at_kvm(&f);
	look_at_userfaultfd(&f);
	look_at_landlock(&f);
	look_at_libraries(&f);
	if (json) {
		json_out(json_pack("{s:b,s:s,s:o}", "ok", (int)f.good, "speed", speed, "checks",
				   f.list));
	} else {
		print_findings(f.list);
		json_decref(f.list);
	}
	return f.good ? 0 : 125;
}

const struct command cmd_doctor = {
	.name = "doctor",
	.args = "",
	.summary = "say what this host can do, and what to do about what it cannot",
	.detail = "The exit status is 125 when something is missing that machines need here.",
	.options = options_json,
	.run = cmd_doctor_run,
};
