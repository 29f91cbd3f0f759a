/*
 * runtime/: a network card with a loopback cable, all real: runtime, workers, device, model,
 * backend and the driver library; only the export is in-process. Frames go round, through too few
 * buffers, and through suspensions.
 */
#include "runtime/runtime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>
#include <uvdpa/driver.h>

#include "backend/backends.h"
#include "export/inprocess/inprocess.h"
#include "model/models.h"
#include "model/net.h"
#include "wire/net.h"

#define RX	 0
#define TX	 1
#define CVQ	 2
#define FRAME	 1000u
#define PIECE	 400u  /* a receive buffer: a frame takes three */
#define PATIENCE 20000 /* ms; only a hang takes so long */

struct world {
	struct runtime *runtime;
	struct uvdpa_driver *drv;
	struct uvdpa_memory *memory;
	struct uvdpa_queue *queues[3];
	uint8_t *sent, *received;
};

static const struct uvdpa_transport transport = {
	.ioctl = inprocess_ioctl,
	.write = inprocess_write,
	.close = inprocess_close,
};

static void make_card(struct world *w, unsigned workers)
{
	const struct runtime_options options = {
		.device = {.name = "n", .queue_size = 64, .asids = 2, .suspend_timeout_ms = 1000},
		.workers = workers,
		.trace = true,
	};
	const struct net_options net = {.mac = {0x52, 0x54, 0, 0, 0, 1}};
	struct packet *packet;
	struct model *model;
	struct error f;

	assert_int_equal(packet_loopback_open(1, &packet, &f), 0);
	assert_int_equal(net_new(&net, packet, &model, &f), 0);
	assert_int_equal(runtime_new(&options, model, &w->runtime, &f), 0);
}

static void set_up(struct world *w, unsigned workers)
{
	const struct uvdpa_memory_options memory = {.size = 4 << 20};
	struct uvdpa_queue_options queue = {.size = 64};
	struct inprocess *export;
	struct uvdpa_error e;
	struct error f;

	memset(w, 0, sizeof(*w));
	make_card(w, workers);
	assert_int_equal(inprocess_open(w->runtime, &(struct inprocess_options){0}, &export, &f),
			 0);
	assert_int_equal(uvdpa_driver_open_transport(&transport, export, "n", 0, &w->drv, &e), 0);
	assert_int_equal(uvdpa_driver_device_id(w->drv), 1);
	assert_int_equal(uvdpa_driver_negotiate(w->drv, UINT64_MAX, &queue.features, &e), 0);
	assert_int_equal(uvdpa_memory_new(&memory, &w->memory, &e), 0);
	assert_int_equal(uvdpa_driver_map(w->drv, w->memory, 0, &e), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(uvdpa_queue_new(w->memory, &queue, &w->queues[i], &e), 0);
		assert_int_equal(uvdpa_driver_attach(w->drv, i, w->queues[i], 0, &e), 0);
	}
	assert_int_equal(uvdpa_driver_start(w->drv, &e), 0);
	w->sent = uvdpa_memory_alloc(w->memory, 4096, 64);
	w->received = uvdpa_memory_alloc(w->memory, (size_t)64 * PIECE, 64);
	assert_true(w->sent && w->received);
}

static void tear_down(struct world *w)
{
	uvdpa_driver_close(w->drv);
	for (unsigned i = 0; i < 3; i++)
		uvdpa_queue_free(w->queues[i]);
	uvdpa_memory_free(w->memory);
	runtime_free(w->runtime);
}

static void post(struct world *w, unsigned queue, void *bytes, uint32_t size, bool writable,
		 uint64_t cookie)
{
	const struct uvdpa_segment segment = {uvdpa_memory_iova(w->memory, bytes), size, writable};

	assert_true(uvdpa_queue_add(w->queues[queue], &segment, 1, 0, cookie) >= 0);
	assert_true(uvdpa_queue_submit(w->queues[queue]) >= 0);
}

static void post_buffers(struct world *w, unsigned from, unsigned count)
{
	for (unsigned i = from; i < from + count; i++)
		post(w, RX, w->received + i * PIECE, PIECE, true, i);
}

static struct uvdpa_completion collect(struct world *w, unsigned queue)
{
	struct uvdpa_completion completion = {0};
	int n = uvdpa_queue_poll(w->queues[queue], &completion, 1);

	if (n == 0) {
		assert_true(uvdpa_queue_wait(w->queues[queue], PATIENCE) >= 0);
		n = uvdpa_queue_poll(w->queues[queue], &completion, 1);
	}
	assert_int_equal(n, 1);
	return completion;
}

static void send_frame(struct world *w, uint8_t tag)
{
	memset(w->sent, 0, NET_HDR_SIZE);
	memset(w->sent + NET_HDR_SIZE, tag, FRAME);
	w->sent[NET_HDR_SIZE] &= 0xfe;
	post(w, TX, w->sent, NET_HDR_SIZE + FRAME, false, tag);
	assert_int_equal(collect(w, TX).cookie, tag);
}

/* One frame in three buffers, the first of which is number `first`. */
static void expect_frame(struct world *w, unsigned first, uint8_t tag)
{
	static const uint32_t pieces[] = {PIECE, PIECE, NET_HDR_SIZE + FRAME - 2 * PIECE};

	for (unsigned i = 0; i < 3; i++) {
		struct uvdpa_completion completion = collect(w, RX);

		assert_int_equal(completion.cookie, first + i);
		assert_int_equal(completion.written, pieces[i]);
		assert_int_equal(w->received[(first + i) * PIECE + pieces[i] - 1], tag);
	}
	assert_int_equal(w->received[first * PIECE + NET_HDR_BUFFERS], 3);
}

static unsigned in_flight(struct world *w)
{
	unsigned count = device_in_flight(runtime_lock(w->runtime));

	runtime_unlock(w->runtime);
	return count;
}

static void nothing_delivered(struct world *w)
{
	struct uvdpa_queue_view view;

	uvdpa_queue_debug_snapshot(w->queues[RX], &view);
	assert_int_equal(view.used_idx, view.last_used);
}

static void frames_and_starvation(void **state)
{
	for (unsigned workers = 1; workers <= 2; workers++) {
		struct world w;

		set_up(&w, workers);
		post_buffers(&w, 0, 3);
		send_frame(&w, 7);
		expect_frame(&w, 0, 7);
		/* the frame is there before the buffers, which come one by one */
		send_frame(&w, 8);
		post_buffers(&w, 3, 1);
		post_buffers(&w, 4, 1);
		nothing_delivered(&w);
		assert_int_equal(in_flight(&w), 0);
		post_buffers(&w, 5, 1);
		expect_frame(&w, 3, 8);
		tear_down(&w);
	}
}

/* S2 to S6, S8: what arrives meanwhile waits, buffers posted meanwhile stay, all goes on. */
static void suspended(void **state)
{
	uint32_t bases[3], again[3];
	struct world w;

	set_up(&w, 2);
	send_frame(&w, 1); /* staged: there is no buffer */
	post_buffers(&w, 0, 2);
	assert_int_equal(uvdpa_driver_suspend(w.drv), 0);
	assert_int_equal(uvdpa_driver_get_bases(w.drv, bases, 3), 0);
	assert_int_equal(bases[RX], 0);
	assert_int_equal(bases[TX], 1);
	post_buffers(&w, 2, 4);
	post(&w, TX, w.sent, NET_HDR_SIZE + FRAME, false, 99);
	nothing_delivered(&w);
	assert_int_equal(uvdpa_driver_get_bases(w.drv, again, 3), 0);
	assert_memory_equal(bases, again, sizeof(bases));
	assert_int_equal(uvdpa_driver_resume(w.drv), 0);
	expect_frame(&w, 0, 1);
	assert_int_equal(collect(&w, TX).cookie, 99);
	expect_frame(&w, 3, 1);
	tear_down(&w);
}

static void command(void **state)
{
	static const uint8_t bytes[] = {0, 0, 0};
	struct uvdpa_segment segments[2];
	struct world w;

	set_up(&w, 1);
	memcpy(w.sent, bytes, sizeof(bytes));
	w.sent[8] = 0xee;
	segments[0] = (struct uvdpa_segment){uvdpa_memory_iova(w.memory, w.sent), 3, 0};
	segments[1] = (struct uvdpa_segment){uvdpa_memory_iova(w.memory, w.sent + 8), 1, 1};
	assert_true(uvdpa_queue_add(w.queues[CVQ], segments, 2, 0, 5) >= 0);
	assert_true(uvdpa_queue_submit(w.queues[CVQ]) >= 0);
	assert_int_equal(collect(&w, CVQ).cookie, 5);
	assert_int_equal(w.sent[8], VIRTIO_NET_OK);
	tear_down(&w);
}

/* How many events of a kind there are; *at: when the first was. */
static unsigned count_events(const struct runtime_trace *trace, enum device_trace_event kind,
			     uint64_t *at)
{
	unsigned count = 0;

	for (unsigned i = trace->event_count; i-- > 0;) {
		assert_true(!i || trace->events[i - 1].at_ns <= trace->events[i].at_ns);
		if (trace->events[i].kind != kind)
			continue;
		*at = trace->events[i].at_ns;
		count++;
	}
	return count;
}

/* The trace: as many packets as there were, and the steps in their order. */
static void traced(void **state)
{
	for (unsigned workers = 1; workers <= 2; workers++) {
		uint64_t in = 0, out = 0, ok, first, last, asked, bases;
		struct runtime_trace trace;
		uint32_t base[3];
		struct world w;

		set_up(&w, workers);
		post_buffers(&w, 0, 30);
		for (unsigned i = 0; i < 10; i++) {
			send_frame(&w, (uint8_t)i);
			expect_frame(&w, 3 * i, (uint8_t)i);
		}
		send_frame(&w, 10); /* sent, and waits to be received */
		assert_int_equal(uvdpa_driver_suspend(w.drv), 0);
		assert_int_equal(uvdpa_driver_get_bases(w.drv, base, 3), 0);
		assert_int_equal(runtime_get_trace(w.runtime, &trace), 0);
		for (unsigned i = 0; i < trace.slot_count; i++) {
			in += trace.slots[i].in;
			out += trace.slots[i].out;
		}
		assert_int_equal(in, 10);
		assert_int_equal(out, 11);
		assert_int_equal(trace.events_lost + trace.slots_lost, 0);
		assert_int_equal(count_events(&trace, TRACE_DRIVER_OK, &ok), 1);
		assert_int_equal(count_events(&trace, TRACE_FIRST_OUT, &first), 1);
		assert_int_equal(count_events(&trace, TRACE_LAST_OUT, &last), 1);
		assert_int_equal(count_events(&trace, TRACE_SUSPEND, &asked), 1);
		assert_int_equal(count_events(&trace, TRACE_BASE_READ, &bases), 3);
		assert_true(trace.begun_ns <= ok && ok <= first && first <= last);
		assert_true(last <= bases && asked <= bases && bases <= trace.taken_ns);
		assert_int_equal(count_events(&trace, TRACE_FIRST_IN, &first), 1);
		assert_int_equal(count_events(&trace, TRACE_LAST_IN, &last), 1);
		assert_int_equal(count_events(&trace, TRACE_FIRST_CHAIN, &first), 2);
		runtime_trace_free(&trace);
		tear_down(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_and_starvation),
		cmocka_unit_test(suspended),
		cmocka_unit_test(command),
		cmocka_unit_test(traced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
