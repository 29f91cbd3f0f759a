/* Trace files (uvdpa-trace(5)), as read from anywhere: checked, and with the words resolved. */
#ifndef UVDPA_PLOT_TRACE_FILE_H
#define UVDPA_PLOT_TRACE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device/device.h"
#include "util/error.h"

struct file_event {
	uint64_t at_ns;
	enum device_trace_event kind;
	enum device_state state; /* TRACE_STATE */
	bool gone;		 /* TRACE_RESET: because the driver left */
	unsigned queue;
	uint64_t calls, call_ns;
};

struct file_slot {
	uint64_t at_ms, in, out;
};

struct trace_file {
	char name[DEVICE_NAME_MAX + 1], boot[64], unit[16], in[16], out[16];
	uint64_t slot_ms;
	uint64_t taken_ns; /* when the trace was read from its device; 0: not known */
	struct file_event *events;
	struct file_slot *slots;
	size_t event_count, slot_count;
};

/* 0 or a negative errno with the error filled. The caller frees it. */
int trace_file_read(const char *path, struct trace_file *trace, struct error *err);
void trace_file_free(struct trace_file *trace);

/* Writes a text to a file; what was there is gone. */
int text_file_write(const char *path, const char *text, size_t size, struct error *err);

#endif
