/*
 * What a guest's init (guest/init) is told: the file INIT_CONFIG_PATH in its initramfs. It is a run
 * of texts with NUL behind each: a letter of enum init_config_key, then the value. Keys may be
 * repeated where it says so; their order counts. No function here needs a library.
 */
#ifndef TORPOR_GUEST_INIT_CONFIG_H
#define TORPOR_GUEST_INIT_CONFIG_H

#define INIT_CONFIG_PATH "/torpor.conf"
#define INIT_CONFIG_MAX	 (1u << 20) /* bytes */

enum init_config_key {
	INIT_MODULE = 'm',    /* path of a kernel module, repeated in the order of loading */
	INIT_ROOT = 'r',      /* device of the root file system */
	INIT_ROOT_TYPE = 't', /* its type */
	INIT_ARGUMENT = 'a',  /* of the command, repeated; none: the image's init or shell */
	INIT_VARIABLE = 'e',  /* NAME=VALUE, repeated */
	INIT_USER = 'u',      /* USER[:GROUP], names or numbers */
	INIT_FOLDER = 'w',    /* working folder; made when it is missing */
	INIT_VOLUME = 'v',    /* a folder to be made when it is missing; repeated */
	INIT_SHARE = 'f', /* where the next shared folder is mounted; repeated, in their order */
	INIT_STOP_SIGNAL = 's', /* number */
	INIT_HOSTNAME = 'h',
};

#endif
