package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
)

// Thresholds are what alarms are set to, and where that comes from.
type Thresholds struct {
	// Comment says what the file is.
	Comment string    `json:"comment"`
	Release string    `json:"release"`
	MadeAt  time.Time `json:"made_at"`
	Machine string    `json:"machine"`
	Model   string    `json:"model"`
	// Load is the largest that is fit, in words; Users of a closed loop, Rate of an
	// open one.
	Load  string  `json:"load"`
	Users int     `json:"users,omitempty"`
	Rate  float64 `json:"rate,omitempty"`
	// Factor is what the measured figures are multiplied by.
	Factor float64 `json:"factor"`
	// TokensPerSecond is what was measured at that load.
	TokensPerSecond float64 `json:"tokens_per_second"`
	// Thresholds are by metric, of its 95th percentile.
	Thresholds map[string]Threshold `json:"thresholds"`
}

// Threshold is one of them, in seconds.
type Threshold struct {
	MeasuredP95 float64 `json:"measured_p95_seconds"`
	Alert       float64 `json:"alert_seconds"`
}

// errUnfit says that there is nothing to set alarms to.
var errUnfit = errors.New("no load is fit: no thresholds come from it")

// Thresholds are those that the largest fit load gives.
func (s *Summary) Thresholds() (*Thresholds, error) {
	if s.Fit == nil {
		return nil, errUnfit
	}
	f := s.Fit.All
	t := &Thresholds{
		Comment: "Made by `semantic bench summary` from the largest load that is fit: the 95th percentile there times the factor.",
		Release: s.Fit.Release, MadeAt: s.Fit.MadeAt, Machine: s.Fit.Machine.String(), Model: s.Fit.Target.Model, Load: s.Fit.Load.String(),
		Users: s.Fit.Load.Concurrency, Rate: s.Fit.Load.Rate, Factor: s.Limits.Factor, TokensPerSecond: f.TokensPerSecond,
		Thresholds: make(map[string]Threshold),
	}
	for name, q := range map[string]*Quantiles{
		"semantic_request_duration_seconds":             f.EndToEnd,
		"semantic_request_duration_less_decode_seconds": f.LessDecode,
		"semantic_time_to_first_token_seconds":          f.FirstToken,
		"semantic_inter_token_latency_seconds":          f.InterToken,
	} {
		if q == nil || math.IsInf(float64(q.P95), 1) {
			continue
		}
		seconds := float64(q.P95) / 1000
		t.Thresholds[name] = Threshold{MeasuredP95: math.Round(seconds*1e6) / 1e6, Alert: roundUp(seconds * s.Limits.Factor)}
	}
	return t, nil
}

// roundUp keeps two digits.
func roundUp(v float64) float64 {
	if v <= 0 {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(v))-1)
	// Through text, so that 0.35 is not 0.35000000000000003.
	var out float64
	_, _ = fmt.Sscan(fmt.Sprintf("%.12g", math.Ceil(v/unit-1e-9)*unit), &out)
	return out
}

// JSON is the file.
func (t *Thresholds) JSON() ([]byte, error) {
	text, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the thresholds: %w", err)
	}
	return append(text, '\n'), nil
}
