package embedded

import "fmt"

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
