/*
 * The events of a machine, written by its process: the file `events` in its state folder. Each line
 * is a JSON object: "time" (ns since 1970), "event", and what belongs to that event.
 *
 *     event_log_open → event_log_write … → event_log_close
 *
 * The file is bounded (base/log_file.h), and goes on when another machine takes the name. Who wants
 * to know the events reads the file (event_reader.h): no reader can hold up the machine.
 *
 * Any thread may write. What cannot be written is lost: the machine goes on.
 */
#ifndef TORPOR_EVENTS_EVENT_LOG_H
#define TORPOR_EVENTS_EVENT_LOG_H

#include <jansson.h>

#include "base/log_file.h"

#define EVENT_LOG_FILE	   "events"
#define EVENT_LOG_OLD_FILE "events.1"
#define EVENT_LOG_MAX	   (UINT64_C(128) << 10)
#define EVENT_LINE_MAX	   8192u /* with the newline */

/* Events that begin and end the life of a process, which readers have to know. */
#define EVENT_STARTED "started"
#define EVENT_RESUMED "resumed"
#define EVENT_EXITED  "exited"
#define EVENT_DEAD    "dead" /* no line of a log: seen by readers */

/* Over LOG_FILE_CLOSED. Returns 0, or what path_state() and log_file_open() give. */
int event_log_open(struct log_file *log, const char *name, struct err *err);
/* One line. `details`, taken, is an object with what belongs to the event, or NULL. Details that
 * make the line longer than EVENT_LINE_MAX are left out. */
void event_log_write(struct log_file *log, const char *event, json_t *details);
void event_log_close(struct log_file *log);

#endif
