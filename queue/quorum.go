package queue

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// dialBound is how long a member of a cluster may take to be counted.
const dialBound = 500 * time.Millisecond

// gaveUp is the error of a request that ctx ended.
func (q *Queue) gaveUp(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && q.link.health() == nil {
		return q.unavailable(ctx, ctx.Err())
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
}

// unavailable wraps the cause of a request without an answer, and says so where
// the reason is that too few members of a cluster are there.
func (q *Queue) unavailable(ctx context.Context, cause error) error {
	members := q.members()
	if len(members) <= 1 {
		return fmt.Errorf("%w: %w", ErrUnavailable, cause)
	}
	// ctx may have ended with the request.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dialBound)
	defer cancel()
	awake := countAwake(ctx, members)
	if 2*awake > len(members) {
		return fmt.Errorf("%w: %d of %d members reachable: %w", ErrUnavailable, awake, len(members), cause)
	}
	return fmt.Errorf("%w: %d of %d members reachable: %w", ErrNoQuorum, awake, len(members), cause)
}

// members are the addresses of the cluster's members: those in the credentials,
// else those that the connection has heard of.
func (q *Queue) members() []string {
	if len(q.creds.Servers) > 0 {
		return q.creds.Servers
	}
	if q.nc.ConnectedClusterName() == "" {
		return nil
	}
	return q.nc.Servers()
}

func countAwake(ctx context.Context, members []string) int {
	var all sync.WaitGroup
	awake := make([]bool, len(members))
	for i, member := range members {
		u, err := url.Parse(strings.TrimSpace(member))
		if err != nil {
			continue
		}
		address := u.Host
		if u.Port() == "" {
			address = net.JoinHostPort(u.Hostname(), "4222")
		}
		all.Go(func() {
			var d net.Dialer
			conn, err := d.DialContext(ctx, "tcp", address)
			if err == nil {
				awake[i] = true
				_ = conn.Close()
			}
		})
	}
	all.Wait()
	return len(slices.DeleteFunc(awake, func(up bool) bool { return !up }))
}
