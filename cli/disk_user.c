/* See disk_user.h. */
#include "cli/disk_user.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "host/client.h"
#include "instance/record.h"
#include "volume/disk_lock.h"

#define ANSWER_MS 2000

/* What a machine says of its disks, if one of them is this file. */
static void add_disks_of(json_t *users, const char *name, const struct stat *file)
{
	struct client client;
	json_t *reply = NULL, *disk;
	size_t i;

	if (client_open_within(&client, name, ANSWER_MS, NULL) < 0)
		return;
	client.quiet = true;
	if (client_do(&client, "inspect", ANSWER_MS, &reply, NULL) == 0) {
		json_array_foreach(json_object_get(reply, "disks"), i, disk)
		{
			if ((dev_t)json_integer_value(json_object_get(disk, "device")) ==
				    file->st_dev &&
			    (ino_t)json_integer_value(json_object_get(disk, "inode")) ==
				    file->st_ino)
				json_array_append_new(
					users, json_pack("{s:s,s:s,s:s}", "machine", name, "id",
							 protocol_text(disk, "id"), "mode",
							 protocol_text(disk, "mode")));
		}
	}
	json_decref(reply);
	client_close(&client);
}

json_t *disk_user_machines(const char *path)
{
	struct machine_names names = {0};
	json_t *users = json_array();
	struct stat file;

	if (users == NULL || stat(path, &file) < 0 || machine_names_list(&names, NULL) < 0)
		return users;
	for (size_t i = 0; i < names.count; i++) {
		if (claim_is_held(names.name[i]))
			add_disks_of(users, names.name[i], &file);
	}
	machine_names_free(&names);
	return users;
}

void disk_user_find(const char *path, char user[DISK_USER_SIZE])
{
	json_t *machines = disk_user_machines(path);
	const json_t *first = json_array_get(machines, 0);
	struct stat file;
	char comm[32];
	pid_t pid;

	if (first != NULL) {
		snprintf(user, DISK_USER_SIZE, "machine %s (%s)", protocol_text(first, "machine"),
			 protocol_text(first, "mode"));
		json_decref(machines);
		return;
	}
	json_decref(machines);
	pid = stat(path, &file) == 0 ? disk_lock_holder(&file, comm) : 0;
	if (pid > 0)
		snprintf(user, DISK_USER_SIZE, "process %d (%s)", (int)pid, comm);
	else
		snprintf(user, DISK_USER_SIZE, "another process");
}
