/* What a network card has otherwise than a disk when it is made ready: for ferry.c. */
#ifndef UVDPA_CMD_FERRY_INTERNAL_H
#define UVDPA_CMD_FERRY_INTERNAL_H

#include "load/ferry.h"

/*
 * The features to ask for, with so many queue pairs. More than one are switched on by a command,
 * for which there has to be a control queue. A vhost-user back end that leaves that to its VMM has
 * an even number of queues, and more pairs are just used.
 */
uint64_t ferry_net_wanted(const struct ferry *ferry, unsigned pairs);

/* Whether the card has so many pairs. */
int ferry_net_check(const struct ferry *ferry, unsigned pairs, struct fault *f);

/* Makes the control queue, and attaches it, where one is needed. */
int ferry_net_add_control(struct ferry *ferry, struct fault *f);
/* Switches the pairs on, with DRIVER_OK set, where there is a control queue. */
int ferry_net_set_pairs(struct ferry *ferry, struct fault *f);

#endif
