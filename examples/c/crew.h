/* What the small examples share: an error ends the program, and the workers are forked children. */
#ifndef CREW_H
#define CREW_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <ringfence.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static inline int ok(int status) {
    if (status < 0) {
        fprintf(stderr, "%s\n", rf_last_error());
        exit(1);
    }
    return status;
}

/* Starts a worker; what it inherits of ours works in it, and it is a participant of its own. */
static inline pid_t start(void (*work)(int number), int number) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        work(number);
        exit(0);
    }
    return child;
}

static inline void ended_well(pid_t child) {
    int status;
    if (waitpid(child, &status, 0) < 0 || status != 0) {
        fprintf(stderr, "a worker failed\n");
        exit(1);
    }
}

static inline void run(void (*work)(int number), int workers) {
    pid_t children[64];
    for (int number = 0; number < workers; number++) children[number] = start(work, number);
    for (int number = 0; number < workers; number++) ended_well(children[number]);
}

#endif
