/*
 * The host side of one machine: this process's machine with its name, console, control socket and
 * records.
 *
 * What has to be done before the guest runs is done first and is little; the rest (logs, control
 * socket, the parent's answer) happens in the loop's first round, behind the start of the vCPUs.
 */
#ifndef TORPOR_INSTANCE_INSTANCE_H
#define TORPOR_INSTANCE_INSTANCE_H

#include <time.h>

#include "base/progress.h"
#include "guest/agent_files.h"
#include "guest/agent_shutdown.h"
#include "guest/exec_port.h"
#include "guest/exec_sessions.h"
#include "host/claim.h"
#include "host/control.h"
#include "host/paths.h"
#include "instance/connections.h"
#include "instance/console_hub.h"
#include "instance/hold.h"
#include "instance/post_resume.h"
#include "instance/record.h"
#include "instance/source.h"
#include "limits/helper.h"
#include "snapshot/pager.h"
#include "snapshot/reset.h"
#include "snapshot/save_process.h"

struct instance_options {
	const char *name;	    /* NULL: made from `preferred_name` */
	const char *preferred_name; /* NULL: random */
	const char
		*origin; /* the image it was made from, as it was typed; NULL: the source's path */
	bool paused;	 /* do not start the vCPUs */
	enum pager_fill fill;
	bool remove;	   /* leave no records behind */
	bool new_identity; /* a new name, new MAC addresses */
	bool golden;	   /* it can be reset; it was saved, and has not a new identity */
	const struct connections *connections; /* bound; NULL: the cards stay as they are */
	struct limits_helper *limits; /* asked for a control group, and closed then; NULL: none */
	struct warmup *warmup;	      /* NULL, or a clone that is watched and thrown away */
	int hold_fd;   /* it came by a move: paused until that is committed, and over if this
			  pipe closes before; 0: it did not */
	int lease_fd;  /* the machine ends when the other end of this pipe or socket is closed; the
			  descriptor stays the caller's; 0: it does not */
	int report_fd; /* detached: where the waiting parent is told; -1: in the foreground */
	/* Told what the user should know about the start and the machine, a line of text without
	 * its end at a time. Called with the machine lock held, on the loop's thread. */
	void (*notice)(const char *line);
};

/* What a network card is connected to. */
struct instance_net {
	enum net_kind kind;
	char name[64];		     /* of the tap or the LAN; "" */
	int capture_fd;		     /* owned, of --pcap; -1: none, or given to the back end */
	struct net_backend *carrier; /* the card's; NULL: its link is down */
	struct net_backend *held;    /* owned: the card gets it once it has its new address */
};

/* A save that is under way; see instance_saving_begin(). */
struct saving {
	struct progress progress;
	pthread_t thread; /* runs control_loop */
	bool active;
	atomic_bool killed; /* the machine is to end, whatever becomes of the save */
};

/* Of so many saves a machine knows the files again. */
#define INSTANCE_OWN_SAVES 64u

/* The files of an increment's parents, the newest first, as the client of a save has opened them. Of
 * a folder it has opened the files in it. */
struct given_parents {
	unsigned n;
	unsigned opened; /* the next one is looked for here */
	struct given_parent {
		char *path;			 /* owned */
		int fd;				 /* owned; -1: it was taken, or is a folder */
		struct container_member *member; /* owned, names and descriptors too */
		size_t nmembers;
	} file[CHAIN_MAX];
};

/* A saved file whose client is to give it its name. */
struct publication {
	struct path path;
	char digest[DIGEST_TEXT_SIZE];
	dev_t dev; /* the file, whatever it is called */
	ino_t ino;
	bool going_on;
	bool relative; /* the next increment is relative to it */
};

/* Where a save puts disks that are written through. */
enum save_disks {
	SAVE_DISKS_UNSAID,
	SAVE_DISKS_INSIDE,  /* what they hold at the pause, into the file */
	SAVE_DISKS_OUTSIDE, /* they stay where they are, and the file has their digests */
};

struct save_request {
	enum save_disks disks;
	const char *path; /* absolute; NULL: down a stream */
	int fd;		  /* borrowed: a temporary file that the client publishes, or the stream */
	int client_fd;	  /* borrowed: the connection of the client that asks */
	const char *as;	  /* the name it wakes under; NULL: the machine's */
	bool flat;
	int level;
	const struct keyring *keys; /* what locks the file; NULL: in clear */
	const char *parent; /* path of the file to be relative to; it has been given; NULL: see
			       `full` */
	bool full;	    /* else relative to the base, if that has been given */
	bool going_on;	    /* the machine will: note what it changes from here on */
	bool held;	    /* it is moved: it stays paused, and relative to what it was */
	bool copy;	    /* nobody keeps it: the machine stays relative to what it was */
	bool force;	    /* replace another machine's file in the store */
	/* What the client has found in the store: the identity of the file that would be replaced,
	 * and the name of another one that stands on that; NULL: none. */
	const char *replaced;
	const char *dependent;
	uint64_t bytes; /* out: written */
	/* Out: of disks that stay outside, what they hold ("": another disk), and, of a regular file
	 * whose times tell a later write, how it was then (st_nlink 0: not so). */
	char outside[APPLIANCE_MAX_DISKS][DIGEST_TEXT_SIZE];
	struct stat outside_stat[APPLIANCE_MAX_DISKS];
	char digest[DIGEST_TEXT_SIZE]; /* out: the identity of what was saved */
	/* Out: of the file that it is relative to; "": it is full. */
	char parent_digest[DIGEST_TEXT_SIZE];
	struct path parent_path;
};

/* What a request to save comes to. */
struct save_job {
	struct appliance appliance;
	struct save_params params;
	struct chain *parent; /* owned; NULL: a full save */
};

struct instance;

/* Waiting for requests to disks, before a pause (instance_settle.c). */
struct settling {
	void (*then)(struct instance *in, bool settled); /* NULL: nothing is waited for */
	struct timer timer;
	json_t *request; /* owned: to be answered then; NULL: none is */
	int passed_fd;	 /* owned: came with that */
};

enum behind_phase {
	BEHIND_NONE,
	BEHIND_PREPARES,  /* a thread does what needs no pause */
	BEHIND_MERGES,	  /* what was written to the disks during the last one is being moved yet */
	BEHIND_SETTLES,	  /* requests to disks are under way */
	BEHIND_WRITES,	  /* the pause is over; a process writes the file */
	BEHIND_PUBLISHES, /* the client gives the file its name */
};

/* A save that is written behind the pause (instance_behind.c). */
struct behind {
	enum behind_phase phase;
	json_t *words; /* owned: the request, which the texts below lie in */
	struct save_request request;
	int fd; /* owned: request.fd */
	struct save_job job;
	struct snapshot *snapshot; /* owned */
	struct save_process process;
	uint64_t paused_ns;
	pthread_t preparer;
	int prepared; /* what it came to */
	struct err why;
	int event_fd;		 /* owned: readable when it is done; -1: none */
	int client_fd;		 /* owned: of the client that publishes; -1: none */
	struct loop_watch watch; /* of what the phase waits for, on control_loop */
	struct publication publication;
	const char *cancelled; /* why; NULL: it is not */
	struct disk_merge
		*merge; /* owned: disks are being merged (instance_merge.c); NULL: none are */
	bool unmerged;	/* the last time that failed */
};

struct instance {
	const struct instance_options *options;
	struct source *source;
	struct claim claim;
	struct limits_group limits_group; /* until the vCPUs' threads have started */
	struct vcpu_group vcpu_group;	  /* the same */
	struct machine machine;
	struct board board;
	struct disk *disk[APPLIANCE_MAX_DISKS];	     /* owned by the board */
	struct instance_net net[APPLIANCE_MAX_NETS]; /* as the appliance's cards */
	struct console_hub hub;
	struct control control;
	/* The control socket and the signals that end the machine. Watched by the machine's loop
	 * and, during a save, run by a thread of its own. */
	struct loop control_loop;
	struct loop_watch control_watch;
	pthread_mutex_t control_lock; /* of that loop alone */
	struct saving saving;
	struct settling settling;
	struct post_resume post_resume;
	struct agent_files agent_files; /* with the agent of post_resume */
	struct agent_shutdown shutdown; /* by the same */
	struct exec_port exec_port;	/* with them, if the board has that port */
	struct exec_sessions commands;
	struct hold hold;
	struct given_parents given;
	struct publication publication; /* while `hold` is HOLD_PUBLISHES */
	struct behind behind;
	struct timer identity_timer;
	bool identity_begun;
	uint64_t identity_deadline; /* CLOCK_MONOTONIC, ns; 0: over */
	struct cpu_needs cpu;	    /* recorded by the next save */
	unsigned saves;		    /* so far */
	struct pager *pager;	    /* owned; NULL: all memory is in place */
	struct golden *golden;	    /* owned; NULL: it cannot be reset */
	struct path golden_path;    /* of the file that it was resumed from; "": it was in none */
	uint64_t resets;	    /* so far */
	/* What the next increment is relative to: the file it was resumed from, then that of the
	 * last save. "" for a machine that was never in one. */
	char base[DIGEST_TEXT_SIZE];
	struct path base_path;
	char own_save[INSTANCE_OWN_SAVES][DIGEST_TEXT_SIZE]; /* the n-th at n % their number */
	pthread_t parent_thread;
	int parent_fd; /* an eventfd: the parent needs no watch any more; -1: it has none */
	pthread_t arrivals_thread;
	bool watches_arrivals;
	atomic_bool arrivals_over; /* the thread ends */
	time_t started;
	struct path origin;   /* what it was made from: a path or an image; "": a stream */
	struct path saved_to; /* of the save that ended it */
	pthread_t keeper;     /* copies kernel and initrd behind the start */
	bool has_keeper;
	bool told_base; /* that a file under a disk has changed */
	bool refused;	/* it failed before it was reported, or there was nobody to report to */
	bool had_prior; /* a record of the last machine of that name: */
	struct record prior;
	bool asked;	  /* its power button was pressed by request */
	bool reported;	  /* the waiting parent knows that it runs */
	bool told_halted; /* that the guest has halted for good */

	struct log_file log;
	struct log_file events;	       /* events/event_log.h */
	enum machine_state told_state; /* running or paused, as the last event said */
	unsigned steps;		       /* pauses are steps of something else while this is not 0 */
	bool moving;
	int deferred_fd; /* readable once: what is done after the start */
	struct loop_watch deferred_watch;
	int signal_fd;
	struct loop_watch signal_watch;
	struct loop_watch lease_watch;
};

/* How it ended. */
struct instance_end {
	char name[64];
	enum machine_end end;
	int status; /* of the guest's application (struct record) */
	struct path saved_to;
	bool reported; /* detached: it did run, and the parent waits for no error any more */
};

/* Make a machine from the source, which is closed at the end, and run it until it is over. Returns
 * 0, or a negative errno: -ENOMEM; what the steps of the start give (claim_name(), machine_init(),
 * source_open_disks(), snapshot_resume(), machine_boot()); when the machine failed later, what
 * err_set() returns for the kind of that failure; or what warmup_end() gives. */
int instance_run(struct source *source, const struct instance_options *options,
		 struct instance_end *end, struct err *err);

/* The answers to control requests (requests.c). Loop thread, machine lock held. Functions that
 * return json_t * give a new object, or NULL on an error, with *err set; without memory NULL alone.
 * Here the error is ERR_USAGE for an unknown or malformed request, ERR_FAILED when the machine is
 * ending or cannot do it now, or that of the request itself. */
json_t *instance_answer(void *instance, const char *what, const json_t *request, struct err *err);
/* Let the control socket give these answers; during a save it gives others. */
void instance_serve_requests(struct instance *in);
/* Of them "stats" and "fill" (instance_stats.c): ERR_FAILED without /proc; ERR_USAGE for an unknown
 * word, or what pager_set_fill() gives. */
json_t *instance_stats(struct instance *in, const json_t *request, struct err *err);
/* Bytes of this process that are in memory, and those of them that are shared with files (NULL: not wanted); 0
 * without /proc. Any thread. */
json_int_t instance_resident(json_int_t *shared_bytes);
/* "balloon": ERR_USAGE for a size that is none, or more than all memory. */
json_t *instance_balloon(struct instance *in, const json_t *request, struct err *err);
json_t *instance_set_fill(struct instance *in, const json_t *request, struct err *err);

/* What a disk that is written through excludes (instance_disks.c). `what`: "be moved", for the text.
 * Returns 0, or -EINVAL with ERR_USAGE that names the disk. */
int instance_refuse_through(const struct instance *in, const char *what, struct err *err);
/* Whether there is such a disk. */
bool instance_writes_through(const struct instance *in);
/* The same of a shared folder that is bound to one of this host. */
int instance_refuse_shared(const struct instance *in, const char *what, struct err *err);
/* "shares" of "inspect": [{"tag", "guest", and of one that is bound "folder", "readonly"}]. NULL without
 * memory. */
json_t *instance_shares_json(const struct instance *in);
/* "disks" of "inspect": [{"id", "mode", "size", and of one with a file of its own "file", "device",
 * "inode"}]. NULL without memory. */
json_t *instance_disks_json(const struct instance *in);

/* While it is moved: -EINVAL with ERR_FAILED. */
int instance_refuse_held(const struct instance *in, struct err *err);

/* A golden machine (instance_reset.c): directly behind snapshot_resume(). Errors of golden_open().
 */
int instance_golden_open(struct instance *in, struct err *err);
/* "reset": ERR_USAGE when it is not golden; ERR_FAILED while it is moved or when it has ended; what
 * disk_check_base() and golden_reset() give. */
json_t *instance_reset(struct instance *in, const json_t *request, struct err *err);
/* "seed": ERR_USAGE when it is not paused, was not resumed, or for no seed. */
json_t *instance_seed(struct instance *in, const json_t *request, struct err *err);
/* "changed": ERR_USAGE when it is not golden, or not paused. */
json_t *instance_changed(struct instance *in, const json_t *request, struct err *err);
/* "golden" of "inspect". */
json_t *instance_golden_json(const struct instance *in);

/* The network cards (instance_net.c). Give an address to each card that has none, before the
 * board is built. Returns 0, or the errno of getrandom(2). */
int instance_net_prepare(struct instance *in, struct err *err);
/* Open the files of --pcap, while the process may. Returns 0; -EINVAL with ERR_USAGE for a name
 * that is too long; or the errno of open(2). */
int instance_net_open_captures(struct instance *in, struct err *err);
/* Connect them, behind the start of the guest. What was opened belongs to the machine. Returns 0,
 * or what net_user_open(), net_tap_open(), net_lan_open() and net_pcap_open() give. */
int instance_net_open(struct instance *in, struct err *err);
/* [{"id","mac","kind","name","link",…}] for "inspect", with counters for "stats". */
json_t *instance_net_describe(const struct instance *in, bool counters);
/* The request "ports". No error but a lack of memory. */
json_t *instance_ports(struct instance *in, const json_t *request, struct err *err);
/* "accepted": ERR_USAGE for what are no ports. */
json_t *instance_accepted(struct instance *in, const json_t *request, struct err *err);

/* Files that are still arriving (instance_arrivals.c); nothing is done where they are not. note: before
 * memory is touched. begin: once there is a log of events. end: nobody waits any longer. */
void instance_arrivals_note(const struct instance *in);
/* From here on, and until instance_arrivals_told() before the parent is told of the machine, it waits for no
 * file any more when that has gone. */
void instance_arrivals_watch_parent(struct instance *in);
void instance_arrivals_told(struct instance *in);
void instance_arrivals_begin(struct instance *in);
void instance_arrivals_end(struct instance *in);
/* Any thread. "arriving" of "status"; NULL: all was there, or no memory. */
json_t *instance_arrivals_json(const struct instance *in);
/* -EINVAL with ERR_FAILED while something is missing, which a save would wait for. */
int instance_arrivals_check(const struct instance *in, struct err *err);

/* What confines it (instance_sandbox.c). The first with its name, files and connections known,
 * before any thread: returns what sandbox_restrict() gives. The second once all is open and the
 * guest runs: what sandbox_hide() and sandbox_confine() give. */
int instance_restrict(const struct instance *in, struct err *err);
int instance_confine(const struct instance *in, struct err *err);

/* A new identity (instance_identity.c). What the hooks in wake.d are told. To be called once
 * the guest is loaded. Cannot fail. */
void instance_resume_facts(const struct instance *in, struct resume_facts *facts);
/* The address a card has, or is to take. */
const uint8_t *instance_identity_mac(const struct instance *in, unsigned card);
/* Give a card its back end, or hold it until the guest has taken the card's new address, so that a
 * clone never sends with the address of the machine that it is a clone of. Returns 0, or what
 * timer_open() gives; the back end is then not taken. */
int instance_identity_connect(struct instance *in, unsigned index, struct net_backend *backend,
			      struct err *err);
/* The machine's state has changed, or the cards were connected. */
void instance_identity_changed(struct instance *in);
/* Returns 0, or -EINVAL with ERR_FAILED while the guest is taking its new identity: a file saved
 * then would hold a mixture of both. */
int instance_identity_check(const struct instance *in, struct err *err);
void instance_identity_close(struct instance *in);

/* Whether the request says what is to become of disks that are written through. Returns 0, or -EINVAL
 * with ERR_USAGE. */
int instance_check_save_disks(const struct instance *in, const struct save_request *request,
			      struct err *err);
/* Of a paused machine: put them on stable storage, and fill in request->outside. Returns 0, the error of
 * disk_flush(), or what disk_digest() gives. */
int instance_digest_disks(struct instance *in, struct save_request *request, struct err *err);
/* "outside" of a save's reply: [{"id", "digest", and of one with such times "device", "inode", "size",
 * "mtime", "ctime"}], times as [seconds, nanoseconds]. NULL without memory. */
json_t *instance_outside_json(const struct instance *in, const struct save_request *request);

/* Its events (instance_events.c): nothing here fails. begin: the machine is up. ended: before its
 * name is free. `details` is taken. */
void instance_events_begin(struct instance *in);
void instance_events_ended(struct instance *in, const struct instance_end *end,
			   const struct err *err);
void instance_event(struct instance *in, const char *event, json_t *details);
/* The state has changed: it was paused or goes on, or a move was given up. */
void instance_events_changed(struct instance *in);
/* Between the two it is paused as a step of something that has an event of its own. */
void instance_events_step_begin(struct instance *in);
void instance_events_step_end(struct instance *in);
/* A save, or a copy for clones, begins and ends; not one that is a step of a move. `path` NULL: to
 * a stream. `err` NULL: it succeeded. */
void instance_events_saving(struct instance *in, const struct save_request *request);
void instance_events_saved(struct instance *in, const char *path, bool copy, const struct err *err);

/* What locks the files it saves (instance_key.c): the request "key", and the choice for a save.
 * instance_take_key() fails with ERR_USAGE without a descriptor that holds a key, or as
 * encryption_lock_decode() and keyring_new() do. instance_choose_key() returns 0, or -EINVAL with
 * ERR_USAGE when there is no key to encrypt with, or the save is both encrypted and flat. */
json_t *instance_take_key(struct instance *in, const json_t *request, struct err *err);
int instance_choose_key(const struct instance *in, struct save_request *request, bool encrypt,
			bool decrypt, struct err *err);

/* Save; the machine is paused meanwhile and then left so (instance_save.c). Returns 0;
 * -ECANCELED, with nothing written, when in->saving.progress was cancelled in time; -EINVAL with
 * ERR_USAGE when the file to be written may not be replaced or cannot have that parent; or what
 * disk_check_base(), instance_open_given(), chain_load_hashes() and snapshot_save() give. A file
 * has no name then: instance_publish_begin() is next. */
int instance_save(struct instance *in, struct save_request *request, struct err *err);
/* Its steps, for a save in which they are apart; over zeroes, and save_job_free() in any case. init: loop
 * thread. `request` and `progress` are kept. Returns what is said above. open_parent: any thread, as long
 * as nobody else uses the parents that were given. describe: machine paused. */
int save_job_init(struct save_job *job, struct instance *in, const struct save_request *request,
		  struct progress *progress, struct err *err);
int save_job_open_parent(struct save_job *job, struct instance *in, struct save_request *request,
			 struct err *err);
void save_job_describe(struct save_job *job, struct instance *in,
		       const struct save_request *request);
void save_job_free(struct save_job *job);
/* The answer to a request to save that succeeded (requests.c). */
json_t *instance_saved_reply(const struct instance *in, const struct save_request *request,
			     const struct progress *progress, uint64_t paused_ns);
/* What the paused machine changes from here on is what the next increment has. */
void instance_rebase(struct instance *in);
/* The machine was saved, to this file (NULL: to a stream). `relative`: the next increment is
 * relative to it. */
void instance_note_saved(struct instance *in, const char *path, const char *digest, bool relative);

/* What the client of a save opens and names (instance_publish.c). The request "parent" adds to the
 * files of an increment's parents, and "member" a file to the last of them, if that is a folder:
 * ERR_USAGE without a path or a descriptor or out of order.
 * instance_open_given() opens them, of which there is one at least, as a chain; all are to be
 * forgotten after that. Returns what chain_open() gives. */
json_t *instance_take_parent(struct instance *in, const json_t *request, struct err *err);
json_t *instance_take_member(struct instance *in, const json_t *request, struct err *err);
int instance_open_given(struct instance *in, struct chain **parent, struct err *err);
void instance_forget_parents(struct instance *in);
/* What is to be published. Returns 0, or the errno of fstat(2). */
int publication_init(struct publication *p, const struct save_request *request, struct err *err);
/* The client has gone: whether the file has its name, which was the last thing it did then. If not, that
 * is logged. */
bool publication_done(const struct publication *p, const struct log *log);
/* Hold the paused machine until the request "published" of the client whose request is being
 * answered. Returns 0, the errno of fstat(2) or fcntl(2), or what hold_begin() gives. */
int instance_publish_begin(struct instance *in, const struct save_request *request,
			   bool was_running, struct err *err);
/* The file has its name: the machine ends, or goes on from there; or it has not, and never will. */
void instance_publish_end(struct instance *in, bool published);
/* ERR_USAGE when no file waits for its name. */
json_t *instance_published(struct instance *in, const json_t *request, struct err *err);

/* A save of a machine that goes on is written behind the pause (instance_behind.c). begin: from now on it
 * is under way, and its request, which control_defer() was called for, is answered at the end.
 * `words` is the request. Returns what save_job_init() and save_process_open() give, or the errno of
 * eventfd(2), dup(2) or pthread_create(3); then nothing has begun. */
int instance_behind_begin(struct instance *in, const struct save_request *request, json_t *words,
			  struct err *err);
/* Is one under way? How far, for "status"? */
bool instance_behind_active(const struct instance *in);
void instance_behind_tell(const struct instance *in, json_t *status);
/* 0, or -EINVAL with ERR_FAILED while one is: the machine is busy. */
int instance_refuse_busy(const struct instance *in, struct err *err);
/* The client of it has gone away: it ends, and the machine is as it was. Nothing is done where there is
 * none. */
void instance_behind_cancel(struct instance *in);
/* The machine ends, killed; and if it has ended already, the save that is completed yet. */
void instance_end_killed(struct instance *in);
/* "published" was said. False: of no such save. */
bool instance_behind_published(struct instance *in, bool done);
/* The machine is over, its vCPUs are gone: a save that was taken is completed, unless the machine was
 * killed. Owner's thread, without the lock. */
void instance_behind_finish(struct instance *in);

/* Wait for requests that the host's disks have (instance_settle.c). True: there are none, and the machine
 * can be paused at once, which the caller does or calls machine_unsettle(). False: `then` is called when it is
 * so, or after 10 seconds with `settled` false; guest and loop go on meanwhile. One at a time. Cannot fail. */
bool instance_settle(struct instance *in, void (*then)(struct instance *in, bool settled));
bool instance_is_settling(const struct instance *in);
/* Nobody wants the pause any more: `then` is called with false. Nothing is done when nothing is waited for. */
void instance_settle_give_up(struct instance *in);
/* For machine.settled. */
void instance_settled(struct machine *m, void *opaque);
/* What is waited for, for "status". */
void instance_tell_waits(const struct instance *in, json_t *status);
/* Answer a request that pauses later, when that is so. False: it can be answered now. */
bool instance_defer_pause(struct instance *in, const json_t *request);

/* Disks that were frozen are thawed, and what was written meanwhile is moved, by a thread of its own
 * (instance_merge.c). `done` is called on the loop when it is over, `ret` is what disk_merge() gave.
 * Returns 0, -ENOMEM, or the errno of eventfd(2), epoll_ctl(2) or pthread_create(3). */
struct disk_merge;
int disk_merge_begin(struct disk_merge **out, struct instance *in,
		     void (*done)(struct instance *in, int ret, const struct err *err),
		     struct err *err);
/* At the end of the machine, or when it is over: what is not moved yet stays where it is. NULL: nothing is
 * done. */
void disk_merge_end(struct disk_merge *merge);
/* The first half of it, at once: no save is under way, and no request to a disk. */
void instance_thaw_disks(struct instance *in);

/* Whether the raw files under the disks are what they were. Returns 0, or what
 * disk_check_base() gives. */
int instance_check_bases(const struct instance *in, struct err *err);

/* The members of "status" that every state has (instance_saving.c). Any thread: they do not change
 * while the machine is saved. */
json_t *instance_status(const struct instance *in, const char *state);
/* Those that say how far a save is. */
void instance_tell_progress(json_t *status, const struct progress *progress);

/* Answer requests during a save (instance_saving.c): how far it is, that the machine is busy, and
 * "kill", which cancels it, as does the client's hang-up. Returns 0, what
 * progress_init() gives, or the error of pthread_create(3). */
int instance_saving_begin(struct instance *in, struct err *err);
/* Whether the machine has been killed meanwhile: the caller ends it. */
bool instance_saving_end(struct instance *in);
/* Any thread. */
void instance_saving_kill(struct instance *in);

#endif
