/*
 * save and restore over the control socket: the state (uvdpa-state(5)) travels as base64 in the
 * JSON, so that only the client, with its own rights, opens files. A request is one line of bounded
 * length, so a state too large for one comes in parts.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device/state.h"
#include "control/control_internal.h"
#include "runtime/runtime.h"
#include "util/base64.h"

/* Takes the state of a device. Returns its bytes (the caller frees), or NULL. */
static uint8_t *save(struct runtime *runtime, size_t *size, struct error *f)
{
	struct device_snapshot *snapshot = malloc(sizeof(*snapshot));
	uint8_t *bytes = malloc(STATE_MAX_BYTES);
	struct device *device;
	int r = -ENOMEM;

	if (snapshot && bytes) {
		device = runtime_lock(runtime);
		if (device_state(device) == STATE_SUSPENDED || device_is_restored(device))
			r = device_save(device, snapshot, f);
		else
			r = error_set(
				f, -EBUSY,
				"device '%s' is %s: only a suspended device can be saved ('uvdpa "
				"suspend %s' first)",
				device_name(device), lifecycle_state_name(device_state(device)),
				device_name(device));
		runtime_unlock(runtime);
	} else {
		error_set(f, r, "out of memory");
	}
	if (r == 0) {
		*size = state_encode(snapshot, bytes);
	} else {
		free(bytes);
		bytes = NULL;
	}
	free(snapshot);
	return bytes;
}

json_t *control_save(struct runtime *runtime, struct error *f)
{
	json_t *result = NULL;
	size_t size = 0;
	uint8_t *bytes = save(runtime, &size, f);
	char *text = bytes ? base64_encode(bytes, size) : NULL;

	if (text)
		result = json_pack("{s:s, s:I, s:s}", "name", device_name(runtime_device(runtime)),
				   "bytes", (json_int_t)size, "state", text);
	else if (bytes)
		error_set(f, -ENOMEM, "out of memory");
	free(text);
	free(bytes);
	return result;
}

int control_restore(struct runtime *runtime, const char *text, struct error *f)
{
	struct device_snapshot *snapshot = malloc(sizeof(*snapshot));
	size_t size = 0;
	uint8_t *bytes = base64_decode(text, &size);
	int r;

	if (!snapshot || !bytes) {
		r = error_set(f, -EINVAL, "the state is not base64");
	} else {
		r = state_decode(bytes, size, snapshot, f);
		if (r == 0) {
			r = device_restore(runtime_lock(runtime), snapshot, f);
			runtime_unlock(runtime);
		}
	}
	free(bytes);
	free(snapshot);
	return r;
}
