package schemas

import "fmt"

// The values of Health.Status.
const (
	HealthOK          = "ok"
	HealthUnavailable = "unavailable"
)

// Health is the body of the health routes of gateways and workers.
type Health struct {
	// Status is HealthOK or HealthUnavailable.
	Status string `json:"status"`
	// Checks are what was looked at. What could not be known is left out.
	Checks []HealthCheck `json:"checks"`
	// Reasons says why it is not ok.
	Reasons []HealthReason `json:"reasons,omitempty"`
	// Workers counts the live workers that take jobs; nil where nobody looked.
	Workers *int   `json:"workers,omitempty"`
	Release string `json:"release"`
}

// HealthCheck is one thing that was looked at. Names are stable.
type HealthCheck struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Value is what was seen, and Threshold what separates ok from not ok: numbers,
	// or booleans.
	Value     any `json:"value"`
	Threshold any `json:"threshold"`
}

// HealthReason is one thing in the way. Code is stable.
type HealthReason struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Check adds a check and, where it is not ok, its reason.
func (h *Health) Check(ok bool, name string, value, threshold any, code, format string, args ...any) {
	h.Checks = append(h.Checks, HealthCheck{Name: name, OK: ok, Value: value, Threshold: threshold})
	if !ok {
		h.Reasons = append(h.Reasons, HealthReason{Code: code, Message: fmt.Sprintf(format, args...)})
	}
}

// Judge fills in Status and Release, and reports whether it is ok.
func (h *Health) Judge(release string) bool {
	h.Status, h.Release = HealthOK, release
	if len(h.Reasons) > 0 {
		h.Status = HealthUnavailable
	}
	return len(h.Reasons) == 0
}
