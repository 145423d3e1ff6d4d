package embedded

import (
	"errors"
	"fmt"
	"strings"
)

// PortInUseError says that another program listens on the port.
type PortInUseError struct {
	Host string
	Port int
}

// Error names the address.
func (e *PortInUseError) Error() string {
	return fmt.Sprintf("embedded NATS: %s:%d is in use", e.Host, e.Port)
}

// StoreInUseError says that another server has the store open.
type StoreInUseError struct{ Dir string }

// Error names the folder.
func (e *StoreInUseError) Error() string {
	return fmt.Sprintf("embedded NATS: the store %s is open in another process", e.Dir)
}

// ErrConfig is wrapped by errors of a configuration that cannot be used.
var ErrConfig = errors.New("embedded NATS: configuration")

// MembersError says that a cluster has another number of members than one or
// three.
type MembersError struct{ Members int }

// Error says why.
func (e *MembersError) Error() string {
	if e.Members == 2 {
		return "embedded NATS: two members: one of two asleep stops both, so a cluster has one member or three"
	}
	return fmt.Sprintf("embedded NATS: %d members: a cluster has one member or three", e.Members)
}

// HiddenStreamsError says that a store was filled by a server outside a
// cluster, or for other accounts: this one would not see what is in it.
type HiddenStreamsError struct {
	Dir string
	// Streams are the streams that nobody would see.
	Streams []string
}

// Error names the folder and what is in it.
func (e *HiddenStreamsError) Error() string {
	return fmt.Sprintf("embedded NATS: the store %s was filled by a server outside this cluster or without its accounts; "+
		"nobody would see what is in it: %s", e.Dir, strings.Join(e.Streams, ", "))
}
