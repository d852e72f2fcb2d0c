/*
 * The system calls that this process may make once it reads a file that it does not trust.
 *
 * A seccomp filter, for good, before the first byte of the file is looked at; every later thread
 * and child has it too. Main thread, while it is the only one. A call that reading has no use for
 * kills the process with SIGSYS; one that is fine but not in this form (opening for writing, say)
 * fails with EPERM. A kernel without seccomp is an error: nothing is read unguarded.
 *
 * A machine is confined in steps:
 *
 *     sandbox_enter_machine   before its file is read: few capabilities, a Landlock domain
 *                             (host/landlock.h), a filter
 *     sandbox_restrict        once its files are open and its name is known, before it has threads
 *                             and a guest: a second domain, which leaves it the files and ports
 *                             that are its own (sandbox_files.c)
 *     sandbox_hide            once its guest runs: not dumpable
 *     sandbox_confine         then, for all its threads: a second filter without what only the
 *                             start needs
 *
 * In sanitizer builds these do nothing and return 0 (SANDBOX_GUARDS is 0): their runtime makes
 * calls of its own.
 *
 * Functions that return int return 0, or -errno with ERR_FAILED, which names the call. The process
 * is then confined in part: the caller ends it.
 */
#ifndef TORPOR_HOST_SANDBOX_H
#define TORPOR_HOST_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANDBOX_GUARDS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANDBOX_GUARDS 0
#endif
#endif
#ifndef SANDBOX_GUARDS
#define SANDBOX_GUARDS 1
#endif

enum sandbox {
	SANDBOX_READ,	/* read files, write to what is open: inspect, ls */
	SANDBOX_CREATE, /* and make or remove files, ask for passphrases: extract, convert, flatten,
			   sign, tag, gc, and verify, which remembers what was good */
	SANDBOX_UNPACK, /* SANDBOX_READ, and write anywhere in what is open: images of containers */
	SANDBOX_ASK,	/* SANDBOX_READ, and ask KVM what this host has: compat */
	/* Become a machine: run, resume. Devices, threads, files, AF_UNIX sockets; but no other
	 * program, user, namespace or mount, and nothing of other processes. */
	SANDBOX_MACHINE,
	SANDBOX_SWITCH, /* serve the sockets that are there: lan create */
	SANDBOX_SERVER, /* SANDBOX_READ, and answer at a socket that listens: serve */
	/* Fetch what a machine reads: threads, TCP, name servers, files of the store. */
	SANDBOX_DOWNLOAD,
	SANDBOX_FOLDER, /* serve the files of one folder to a guest */
	SANDBOX_DIALER, /* connect to Unix sockets, and hand the connections over */
};

/* What a machine's network cards need besides: bits. */
enum sandbox_net {
	SANDBOX_NET_USER = 1, /* sockets of IPv4 and IPv6 */
	SANDBOX_NET_TAP = 2,  /* to set a tap interface up */
	SANDBOX_NET_LAN = 4,  /* to join a LAN again whose switch was away */
};

/* Loads the libraries that reading takes first (but for SANDBOX_MACHINE and SANDBOX_DOWNLOAD, which
 * may do so later, and SANDBOX_SWITCH, SANDBOX_FOLDER and SANDBOX_DIALER, which need none). A library that is not there
 * is an error of its first user, not of this. Returns 0, or the errno of prctl(2) or seccomp(2). */
int sandbox_enter(enum sandbox sandbox, struct err *err);
/* SANDBOX_MACHINE, with so much of a network, and all of the first step. Returns 0, what
 * landlock_enter() gives, or the errno of prctl(2), capget(2), capset(2) or seccomp(2). */
int sandbox_enter_machine(unsigned nets, struct err *err);
/* SANDBOX_DOWNLOAD, few capabilities, and a Landlock domain of the store, libraries, certificates
 * and what finds hosts. `ca_file`: another certificate; NULL: none. Main thread, while it is the
 * only one. Returns what sandbox_enter_machine() does. */
int sandbox_enter_download(const char *store, const char *ca_file, struct err *err);
/* Its domain, of the same call (sandbox_files.c). */
int sandbox_restrict_download(const char *store, const char *ca_file, struct err *err);
/* SANDBOX_SERVER, with the capability to read files and no other, and a Landlock domain in which there
 * are the files in these folders, to be read, and no connections to elsewhere. Returns 0, what the
 * functions of landlock.h give, or the errno of prctl(2), capget(2), capset(2) or seccomp(2). */
int sandbox_enter_server(const char *const *folder, size_t nfolders, struct err *err);
/* SANDBOX_FOLDER, without capabilities, and a Landlock domain in which there is the folder of that descriptor,
 * `readonly` to be read only. Returns what sandbox_enter_machine() does. */
int sandbox_enter_folder(int folder, bool readonly, struct err *err);
/* Its domain, of the same call (sandbox_files.c). */
int sandbox_restrict_folder(int folder, bool readonly, struct err *err);
/* SANDBOX_DIALER, without capabilities, and a Landlock domain in which files of `folder` are removed, and no more:
 * connect(2) to a socket is not restricted. Returns what sandbox_enter_machine() does. */
int sandbox_enter_dialer(const char *folder, struct err *err);
/* Its domain, of the same call (sandbox_files.c). */
int sandbox_restrict_dialer(const char *folder, struct err *err);
/* What a machine goes on to reach. */
struct sandbox_reach {
	const char *name;     /* its folders, which are there */
	unsigned nets;	      /* bits SANDBOX_NET_*: devices, name servers, TCP connections */
	const uint16_t *port; /* TCP ports that it will listen at; with a 0 among them, at any */
	unsigned nports;
};
/* The second domain. Main thread, while it is the only one. Returns 0, also without Landlock; or
 * what path_runtime(), path_state() and the functions of landlock.h give. */
int sandbox_restrict(const struct sandbox_reach *reach, struct err *err);
/* Its memory, with the guest's and keys, is in no core file, and no other process of its user can
 * look into it. From then on /proc/self belongs to root: what there only the owner may open must be
 * open. Returns 0, or the errno of prctl(2). */
int sandbox_hide(struct err *err);
/* The second step. No new processes but copies of this one, which write saves, in the same sandbox;
 * signals to this process only, and of new sockets only those that `nets` takes. Any thread; the
 * machine's sockets are listening, its taps open. Returns 0, the errno of seccomp(2), or -EBUSY when a
 * thread has other filters than the caller. */
int sandbox_confine(unsigned nets, struct err *err);

/* What confines the calling process, as the kernel tells. */
struct sandbox_layers {
	unsigned filters; /* seccomp's; 0: none, or a kernel before 5.9 */
	int landlock;	  /* version of the domain it is in; 0: in none */
	bool files;	  /* it can reach none but its own: the root folder is closed to it */
	bool dumpable;	  /* it leaves core files, and its user can look into it */
	uint64_t capable; /* bits CAP_* that are in force */
};
/* Cannot fail: what cannot be read in /proc is 0. */
void sandbox_layers(struct sandbox_layers *layers);
/* Of sandbox_enter_server(): its Landlock domain. */
int sandbox_restrict_server(const char *const *folder, size_t nfolders, struct err *err);
/* Of these `files`. */
bool sandbox_files_restricted(void);

#endif
