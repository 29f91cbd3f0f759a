/*
 * What the log hears of requests that fail: the first of a queue's at once, and while there are
 * more, a line every LINE_NS that says how many. All of them are counted, and `status` has the
 * last.
 */
#include <inttypes.h>
#include <string.h>

#include "runtime/runtime_internal.h"
#include "model/model.h"
#include "util/log.h"

#define LINE_NS UINT64_C(10000000000)

void complaint_look(struct runtime *runtime, unsigned queue)
{
	struct complaint *complaint = &runtime->complaints[queue];
	struct model_failure failure;
	uint64_t now;

	device_get_vq_failure(runtime->device, queue, &failure);
	if (failure.count == complaint->told)
		return;
	now = runtime_now_ns();
	if (complaint->told && now - complaint->told_ns < LINE_NS)
		return;
	log_warning(device_name(runtime->device),
		    "queue %u: a %s of %" PRIu64 " bytes at byte %" PRIu64
		    " failed: %s (failed so far: %" PRIu64 ")",
		    queue, failure.what, failure.length, failure.offset, strerror(-failure.error),
		    failure.count);
	complaint->told = failure.count;
	complaint->told_ns = now;
}
