/*
 * The verb `uvdpa check`: does a vhost-vdpa device keep the suspend contract?
 *
 * This sub-room of cmd/ belongs to the driver's tower: it sees libuvdpa-driver's public headers,
 * wire/ and util/, and nothing of the device's side, so that the two sides cannot share a mistake.
 */
#ifndef UVDPA_CHECK_CHECK_H
#define UVDPA_CHECK_CHECK_H

#include <stdio.h>

/* All of --help. */
void check_help(FILE *to);

/* argv[0] is the verb. Returns the exit status: 0 kept, 1 broken, 2 could not run. */
int check_main(int argc, char **argv);

#endif
