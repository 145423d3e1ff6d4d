package engine

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(patient{m}) }

// patient lets what ends by itself take its time before leaks are looked for.
type patient struct{ *testing.M }

// Run implements goleak.TestingM.
func (p patient) Run() int {
	code := p.M.Run()
	for late := time.Now().Add(time.Minute); goleak.Find() != nil && time.Now().Before(late); {
	}
	return code
}
