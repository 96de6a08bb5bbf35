/* One process waits for an event as long as it takes, another for two seconds. The event is set once the second has given
 * up. */
#include "crew.h"

static rf_event *event;

static void patient(int number) {
    (void)number;
    int waited = ok(rf_event_wait(event, RF_FOREVER)) == RF_OK;
    printf("waited as long as it took: %s\n", waited ? "true" : "false");
}

static void hasty(int number) {
    (void)number;
    int status = rf_event_wait(event, 2000000000);
    if (status != RF_E_TIMED_OUT) ok(status);
    printf("waited for two seconds: %s\n", status == RF_OK ? "true" : "false");
}

int main(void) {
    rf_segment *segment;
    ok(rf_segment_anonymous(1 << 16, NULL, &segment));
    ok(rf_event_open(segment, "event", RF_CREATE, RF_MANUAL_RESET, &event));
    pid_t first = start(patient, 0), second = start(hasty, 1);
    ended_well(second);
    printf("the event is set\n");
    fflush(stdout);
    ok(rf_event_set(event));
    ended_well(first);
    rf_event_close(event);
    rf_segment_close(segment);
    return 0;
}
