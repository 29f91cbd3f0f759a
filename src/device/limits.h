/* The limits of a device: what is allocated once, and what a driver can ask for at most. */
#ifndef UVDPA_DEVICE_LIMITS_H
#define UVDPA_DEVICE_LIMITS_H

#define DEVICE_MAX_QUEUES     64
#define DEVICE_MAX_QUEUE_SIZE 1024 /* entries; a power of two */
#define DEVICE_MAX_ASIDS      4
#define DEVICE_MAX_GROUPS     4
#define DEVICE_MAX_CONFIG     256 /* bytes of config space */
#define DEVICE_MAX_WAITERS    16  /* callers that wait for one suspension at once */
#define DEVICE_NAME_MAX	      63  /* bytes */

#endif
