/* A console port of the guest by its name. */
#ifndef TORPOR_GUEST_HELPER_CONSOLE_PORT_H
#define TORPOR_GUEST_HELPER_CONSOLE_PORT_H

/* Open the port, or the file when `name` begins with a slash. `flags` as open(2) takes them. Only one
 * process can have a port open. Returns the file or a negative errno: -ENODEV without such a port,
 * -EBUSY when another process has it. */
long console_port_open(const char *name, int flags);

#endif
