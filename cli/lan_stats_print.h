/* What `torpor lan stats` prints. */
#ifndef TORPOR_CLI_LAN_STATS_PRINT_H
#define TORPOR_CLI_LAN_STATS_PRINT_H

#include <jansson.h>

/* `stats` is the LAN's reply to {"do":"stats"} (lan/process.h). */
void lan_stats_print(const json_t *stats);

#endif
