/*
 * What a trace's picture is about: the last standstill, its steps, and where
 * their numbers go.
 *
 * A standstill begins with the last work of a device before it was stopped
 * ("last_in", "last_out") and ends with the first work of the one that went on
 * ("first_in", "first_out"): the other trace's device, or with one trace the same. One of a
 * device that is suspended still, or broken, has not ended.
 */
#include "plot/plot.h"

#include <string.h>

#define MS UINT64_C(1000000)

static bool is_last(const struct file_event *event)
{
	return event->kind == TRACE_LAST_IN || event->kind == TRACE_LAST_OUT;
}

static bool is_first(const struct file_event *event)
{
	return event->kind == TRACE_FIRST_IN || event->kind == TRACE_FIRST_OUT;
}

static bool is_stop(const struct file_event *event)
{
	return event->kind == TRACE_STATE &&
	       (event->state == STATE_SUSPENDED || event->state == STATE_RESET ||
		event->state == STATE_BROKEN);
}

static bool is_start(const struct file_event *event)
{
	return event->kind == TRACE_DRIVER_OK || event->kind == TRACE_RESUME;
}

static bool is_running(const struct file_event *event)
{
	return event->kind == TRACE_STATE && event->state == STATE_RUNNING;
}

static bool is_suspend(const struct file_event *event)
{
	return event->kind == TRACE_SUSPEND;
}

/* The latest such event up to a time; NULL: none. */
static const struct file_event *latest(const struct trace_file *trace, uint64_t until_ns,
				       bool (*is)(const struct file_event *))
{
	const struct file_event *found = NULL;

	for (size_t i = 0; i < trace->event_count && trace->events[i].at_ns <= until_ns; i++)
		if (is(&trace->events[i]))
			found = &trace->events[i];
	return found;
}

/* The first such event from a time on; NULL: none. */
static const struct file_event *next(const struct trace_file *trace, uint64_t from_ns,
				     bool (*is)(const struct file_event *))
{
	for (size_t i = 0; i < trace->event_count; i++)
		if (trace->events[i].at_ns >= from_ns && is(&trace->events[i]))
			return &trace->events[i];
	return NULL;
}

/* The beginning of a device's last time of work: of its first packets the earlier. */
static const struct file_event *last_begin(const struct trace_file *trace)
{
	const struct file_event *running = latest(trace, UINT64_MAX, is_running);
	const struct file_event *first = running ? next(trace, running->at_ns, is_first) : NULL;

	/* it began to run and nothing came since: the time before that */
	while (!first && running && running->at_ns) {
		running = latest(trace, running->at_ns - 1, is_running);
		first = running ? next(trace, running->at_ns, is_first) : NULL;
	}
	return first;
}

/* Whoever worked last before this target did is its source, perhaps itself. */
static void consider(struct plot_move *move, const struct trace_file *traces, unsigned count,
		     unsigned target)
{
	const struct file_event *first = last_begin(&traces[target]), *last = NULL;
	unsigned source = 0;

	for (unsigned i = 0; first && i < count; i++) {
		const struct file_event *one = latest(&traces[i], first->at_ns, is_last);

		if (!one || (last && last->at_ns > one->at_ns))
			continue;
		last = one;
		source = i;
	}
	if (!last || (move->found && move->first_ns > first->at_ns))
		return;
	*move = (struct plot_move){
		.found = true,
		.source = source,
		.target = target,
		.last_ns = last->at_ns,
		.first_ns = first->at_ns,
	};
}

/* The last that a trace knows of. */
static uint64_t end_of(const struct trace_file *trace)
{
	uint64_t end = trace->taken_ns;

	if (trace->event_count && trace->events[trace->event_count - 1].at_ns > end)
		end = trace->events[trace->event_count - 1].at_ns;
	if (trace->slot_count &&
	    (trace->slots[trace->slot_count - 1].at_ms + trace->slot_ms) * MS > end)
		end = (trace->slots[trace->slot_count - 1].at_ms + trace->slot_ms) * MS;
	return end;
}

/* Whether the last work of all has been followed by none: a standstill up to now. */
static void consider_open(struct plot_move *move, const struct trace_file *traces, unsigned count)
{
	const struct file_event *last = NULL, *stop;
	unsigned source = 0;
	uint64_t end = 0;

	for (unsigned i = 0; i < count; i++) {
		const struct file_event *one = latest(&traces[i], UINT64_MAX, is_last);

		end = end_of(&traces[i]) > end ? end_of(&traces[i]) : end;
		if (!one || (last && last->at_ns > one->at_ns))
			continue;
		last = one;
		source = i;
	}
	stop = last ? next(&traces[source], last->at_ns, is_stop) : NULL;
	/* a device whose driver has left has nothing to do */
	if (!stop || stop->state == STATE_RESET)
		return;
	for (unsigned i = 0; i < count; i++)
		if (next(&traces[i], last->at_ns + 1, is_first))
			return;
	*move = (struct plot_move){
		.found = true,
		.open = true,
		.source = source,
		.target = source,
		.last_ns = last->at_ns,
		.first_ns = end,
	};
}

/* Adds the calls that a trace counted between two times, going by its events. */
static void add_calls(struct plot_move *move, const struct trace_file *trace, uint64_t from_ns,
		      uint64_t to_ns)
{
	const struct file_event *a = NULL, *b = NULL;

	for (size_t i = 0; i < trace->event_count && trace->events[i].at_ns <= to_ns; i++) {
		b = &trace->events[i];
		a = b->at_ns <= from_ns ? b : a;
	}
	if (!a || b->calls < a->calls || b->call_ns < a->call_ns)
		return;
	move->calls += b->calls - a->calls;
	move->call_ns += b->call_ns - a->call_ns;
}

/* The steps that bound our own share of a standstill. */
static void find_steps(struct plot_move *move, const struct trace_file *traces)
{
	const struct trace_file *source = &traces[move->source], *target = &traces[move->target];
	const struct file_event *stop = next(source, move->last_ns, is_stop), *suspend, *start,
				*running;

	suspend = stop ? latest(source, stop->at_ns, is_suspend) : NULL;
	running = latest(target, move->first_ns, is_running);
	start = running ? latest(target, running->at_ns, is_start) : NULL;
	move->zero_ns = move->last_ns;
	if (suspend && stop->state == STATE_SUSPENDED) {
		move->suspend_ns = move->zero_ns = suspend->at_ns;
		move->stop_ns = stop->at_ns;
	}
	if (start && !move->open) {
		move->start_ns = start->at_ns;
		move->running_ns = running->at_ns;
	}
	add_calls(move, source, move->zero_ns, move->first_ns);
	if (source != target)
		add_calls(move, target, move->zero_ns, move->first_ns);
}

/* All that there is. */
static void show_all(struct plot *plot, const struct trace_file *traces, unsigned count)
{
	uint64_t from = UINT64_MAX, to = 0;

	for (unsigned i = 0; i < count; i++) {
		const struct trace_file *t = &traces[i];
		uint64_t a = t->slot_count ? t->slots[0].at_ms * MS : t->events[0].at_ns;
		uint64_t b = t->slot_count ? (t->slots[t->slot_count - 1].at_ms + t->slot_ms) * MS
					   : t->events[t->event_count - 1].at_ns;

		from = a < from ? a : from;
		to = b > to ? b : to;
	}
	plot->from_ns = plot->move.zero_ns = from;
	plot->to_ns = to > from + 100 * MS ? to : from + 100 * MS;
}

/* The standstill, and as much again on both sides. */
static void show_move(struct plot *plot)
{
	const struct plot_move *move = &plot->move;
	uint64_t from = move->last_ns < move->zero_ns ? move->last_ns : move->zero_ns;
	uint64_t margin = move->first_ns - from;

	margin = margin < 250 * MS ? 250 * MS : margin > 5000 * MS ? 5000 * MS : margin;
	plot->from_ns = from > margin ? from - margin : 0;
	plot->to_ns = move->first_ns + margin;
}

/* Steps on the way that say nothing by themselves. */
static bool is_dull(const struct file_event *event)
{
	return event->kind == TRACE_STATE &&
	       (event->state == STATE_NEGOTIATING || event->state == STATE_READY ||
		event->state == STATE_SUSPENDING || event->state == STATE_RESETTING);
}

/* One mark stands for all queues. */
static bool joins(const struct plot_mark *mark, const struct file_event *event)
{
	return mark->kind == event->kind &&
	       (mark->kind == TRACE_BASE_READ || mark->kind == TRACE_BASE_SET ||
		mark->kind == TRACE_QUEUE_OPEN || mark->kind == TRACE_FIRST_CHAIN);
}

static void add_mark(struct plot_panel *panel, const struct file_event *event)
{
	for (unsigned i = 0; i < panel->mark_count; i++) {
		if (!joins(&panel->marks[i], event))
			continue;
		panel->marks[i].count++;
		panel->marks[i].until_ns = event->at_ns;
		return;
	}
	if (panel->mark_count == PLOT_MARKS)
		return;
	panel->marks[panel->mark_count++] = (struct plot_mark){
		.at_ns = event->at_ns,
		.kind = event->kind,
		.state = event->state,
		.gone = event->gone,
		.count = 1,
		.until_ns = event->at_ns,
	};
}

/*
 * The marks of one panel: from the beginning of the standstill to what is shown last, and the
 * source's last work in either direction, which may have been before.
 */
static void collect(struct plot *plot, unsigned index)
{
	struct plot_panel *panel = &plot->panels[index];
	const struct plot_move *move = &plot->move;
	uint64_t from = move->found ? move->zero_ns : plot->from_ns, lasts = from;
	const struct file_event *running = latest(panel->trace, from, is_running);

	if (move->found && index == move->source)
		lasts = running && running->at_ns > plot->from_ns ? running->at_ns : plot->from_ns;
	for (size_t i = 0; i < panel->trace->event_count; i++) {
		const struct file_event *event = &panel->trace->events[i];

		if (event->at_ns <= plot->to_ns && !is_dull(event) &&
		    event->at_ns >= (is_last(event) ? lasts : from))
			add_mark(panel, event);
	}
}

void plot_prepare(struct plot *plot, const struct trace_file *traces, unsigned count)
{
	unsigned number = 1;

	memset(plot, 0, sizeof(*plot));
	plot->panel_count = count;
	for (unsigned i = 0; i < count; i++)
		consider(&plot->move, traces, count, i);
	consider_open(&plot->move, traces, count);
	if (plot->move.found) {
		find_steps(&plot->move, traces);
		show_move(plot);
	} else {
		show_all(plot, traces, count);
	}
	/* the source is on top, whichever came first */
	for (unsigned i = 0; i < count; i++)
		plot->panels[i].trace = &traces[plot->move.source == 1 ? count - 1 - i : i];
	if (plot->move.source == 1) {
		plot->move.source = 0;
		plot->move.target = !plot->move.target;
	}
	for (unsigned i = 0; i < count; i++) {
		collect(plot, i);
		plot->panels[i].mark_first = number;
		number += plot->panels[i].mark_count;
	}
}

/*
 * Neighbours that are too close go apart by as much each, until nobody has to any more. They stay
 * in order. With the border as a wall it ends because every round brings them nearer to fitting.
 */
void plot_spread(struct plot_mark *marks, unsigned count, double distance, double left,
		 double right)
{
	for (unsigned i = 0; i < count; i++)
		marks[i].label_x = marks[i].x;
	for (unsigned round = 0; round < 500; round++) {
		for (unsigned i = 1; i < count; i++) {
			double lack = distance - (marks[i].label_x - marks[i - 1].label_x);

			if (lack <= 0)
				continue;
			marks[i - 1].label_x -= lack / 2;
			marks[i].label_x += lack / 2;
		}
		if (count && marks[0].label_x < left)
			marks[0].label_x = left;
		if (count && marks[count - 1].label_x > right)
			marks[count - 1].label_x = right;
	}
}

/* Of several queues it tells when the last of them had it. */
static void describe_queues(const struct plot *plot, const struct plot_mark *mark, char *text,
			    size_t size)
{
	static const char *const words[TRACE_COUNT] = {
		[TRACE_BASE_READ] = "vring base read",
		[TRACE_BASE_SET] = "vring base set",
		[TRACE_QUEUE_OPEN] = "queue open",
		[TRACE_FIRST_CHAIN] = "first descriptor",
	};
	double until = ((double)mark->until_ns - (double)plot->move.zero_ns) / 1e6;

	if (mark->count == 1)
		snprintf(text, size, "%s", words[mark->kind]);
	else
		snprintf(text, size, "%s (%u queues, last %+.3f)", words[mark->kind], mark->count,
			 until);
}

/* "first packet sent". */
static void describe_work(const struct plot_mark *mark, const struct trace_file *trace, char *text,
			  size_t size)
{
	bool in = mark->kind == TRACE_FIRST_IN || mark->kind == TRACE_LAST_IN;
	bool first = mark->kind == TRACE_FIRST_IN || mark->kind == TRACE_FIRST_OUT;
	int unit = (int)strlen(trace->unit);

	if (unit && trace->unit[unit - 1] == 's')
		unit--; /* one of them */
	snprintf(text, size, "%s %.*s %s", first ? "first" : "last", unit, trace->unit,
		 in ? trace->in : trace->out);
}

static const char *describe_state(enum device_state state)
{
	switch (state) {
	case STATE_RESET:
		return "reset";
	case STATE_RUNNING:
		return "running";
	case STATE_SUSPENDED:
		return "suspended: stands still";
	default:
		return "broken";
	}
}

void plot_describe(const struct plot *plot, const struct plot_panel *panel,
		   const struct plot_mark *mark, char *text, size_t size)
{
	switch (mark->kind) {
	case TRACE_SUSPEND:
		snprintf(text, size, "suspension asked for");
		break;
	case TRACE_RESUME:
		snprintf(text, size, "resume asked for");
		break;
	case TRACE_RESET:
		snprintf(text, size, "%s", mark->gone ? "driver leaves" : "reset asked for");
		break;
	case TRACE_DRIVER_OK:
		snprintf(text, size, "DRIVER_OK");
		break;
	case TRACE_STATE:
		snprintf(text, size, "%s", describe_state(mark->state));
		break;
	case TRACE_FIRST_IN:
	case TRACE_FIRST_OUT:
	case TRACE_LAST_IN:
	case TRACE_LAST_OUT:
		describe_work(mark, panel->trace, text, size);
		break;
	default:
		describe_queues(plot, mark, text, size);
	}
}
