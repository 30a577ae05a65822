#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

/* How far the guest's clock may be behind, and how late a frame of the host's usually is. */
#define CLOCK_BEHIND_S 0.1
#define CLOCK_AHEAD_S 0.5

enum {
	/*
	 * systemd's SIGRTMIN+4, "power off", as a number: SIGRTMIN is 34 in glibc, which systemd
	 * uses, but 35 in musl.
	 */
	SYSTEMD_POWEROFF = 34 + 4,
	/* A service that does not stop holds systemd up for 90 seconds. */
	SYSTEMD_PATIENCE_S = 30,
	/* What programs have to save their work when they are ended by force. */
	TERM_PATIENCE_S = 1,
};

/* systemd is PID 1 and listens to signals. Before that it would lose them. */
static bool systemd_listens(void)
{
	return access("/run/systemd/system", F_OK) == 0 && access("/run/systemd/private", F_OK) == 0;
}

/* Sleeps in full, whatever signals come. */
static void pause_for(time_t seconds)
{
	struct timespec left = { .tv_sec = seconds };

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

/* Off without services. Programs go first, so that the file system is at rest. */
static bool force_off(struct failure *failure)
{
	/* The agent gets these, too, and leaves: there is nobody to tell of an error from here on. */
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	kill(-1, SIGTERM);
	kill(-1, SIGHUP);
	kill(-1, SIGCONT);
	pause_for(TERM_PATIENCE_S);
	kill(-1, SIGKILL);
	sync();
	/* Fails while PID 1 writes; the journal makes up for it. */
	mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
	reboot(RB_POWER_OFF);
	return failed(failure, "power off");
}

bool power_off(struct failure *failure, bool force)
{
	if (geteuid() != 0) {
		errno = EPERM;
		return failed(failure, "power off");
	}
	sync();
	if (!force && systemd_listens() && kill(1, SYSTEMD_POWEROFF) == 0)
		pause_for(SYSTEMD_PATIENCE_S);
	return force_off(failure);
}

bool set_clock(struct failure *failure, const struct timespec *now, bool back, bool *ahead)
{
	struct timespec own;
	double difference;

	clock_gettime(CLOCK_REALTIME, &own);
	difference = (double)own.tv_sec - (double)now->tv_sec +
		     ((double)own.tv_nsec - (double)now->tv_nsec) / 1e9;
	*ahead = !back && difference > CLOCK_AHEAD_S;
	/* A frame only takes time, so what is behind it is wrong for certain. */
	if (difference >= -CLOCK_BEHIND_S && !(back && difference > 0))
		return true;
	return clock_settime(CLOCK_REALTIME, now) == 0 || failed(failure, "set the clock");
}
