package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/doctor"
	"github.com/semantic-worker/semantic/queue"
)

func newDoctorCommand(a *app) *cobra.Command {
	var asJSON, full bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say whether this machine is ready, and what would mend it",
		Long: `Look whether this machine can run what the configuration wants: the native
runtime and its version, memory, threads, disk, the model (a second process loads
it and asks it something), and the ports of 'semantic serve'; or, where --nats
names a server, that server. Nothing is changed or fetched.

Exits with 1 if anything fails, with 0 if there are warnings only. --full also
runs the engine's conformance suite on this machine's backend, which takes some
minutes; what cannot be shown here without being wrong is a warning.`,
		Example: `  semantic doctor
  semantic doctor --full --backend metal
  semantic doctor --json --nats nats://mac-mini.local:4222`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			return a.doctor(cmd.Context(), c, asJSON, full)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&full, "full", false, "run the engine's conformance suite too")
	keys := append(brokerFlags(), "host", "port", "nats-host", "nats-port", "data-dir")
	addConfigFlags(cmd, append(keys, modelFlags()...)...)
	cmd.AddCommand(newProbeCommand(a))
	return cmd
}

func (a *app) doctor(ctx context.Context, c *config.Loaded, asJSON, full bool) error {
	if err := c.CheckBackend(); err != nil {
		return err
	}
	if c.Source("nats") == "default" { // else `semantic serve` is none of our business
		if err := c.CheckPorts(); err != nil {
			return err
		}
	}
	o := doctor.Options{Config: c, Release: a.Release, Full: full}
	var err error
	if o.Home, err = a.home(); err != nil {
		return err
	}
	if o.DataDir, err = a.dataDir(c); err != nil {
		return err
	}
	o.Broker = func(ctx context.Context, url string) (*queue.Queue, error) { return a.peek(ctx, c, url) }
	o.Probe = func(ctx context.Context, part doctor.Part, out io.Writer) error { return a.probe(ctx, c, part, out) }
	var table findings
	if !asJSON {
		table.w = a.Out
		o.Say = table.print
	}
	report, err := doctor.Run(ctx, o)
	if err != nil {
		return err
	}
	if asJSON {
		err = a.printJSON(report)
	} else {
		table.end(report)
		err = table.err
	}
	if err == nil && report.Level == doctor.Fail {
		return errSilent
	}
	return err
}

// peek connects to a NATS server and makes nothing there.
func (a *app) peek(ctx context.Context, c *config.Loaded, url string) (*queue.Queue, error) {
	if err := c.CheckNATSClient(); err != nil {
		return nil, err
	}
	token, err := c.NATSToken()
	if err != nil {
		return nil, err
	}
	q, err := queue.Open(ctx, queue.Options{
		URL: url, Name: "semantic doctor", Token: token, CredsFile: c.NATSCreds, CAFile: c.NATSCA, Logger: discardLog(),
	})
	return q, brokerHint(err)
}

// findings prints a report for people, each line as soon as it is known, so
// that it shows how far a process came that native code ended.
type findings struct {
	w     io.Writer
	suite bool
	err   error
}

const (
	// findingWidth bounds a line, findingLines the lines of a text.
	findingWidth = 100
	findingLines = 6
	checkWidth   = 11
)

func (f *findings) printf(format string, args ...any) {
	if f.err == nil {
		f.err = printTo(f.w, format, args...)
	}
}

func (f *findings) print(finding doctor.Finding) {
	width := checkWidth
	head := fmt.Sprintf("%-4s  %-*s", finding.Level, checkWidth, finding.Check)
	if finding.Suite {
		if !f.suite {
			f.suite = true
			f.printf("\nConformance suite of the engine on this machine's backend\n")
		}
		width = 0
		head = fmt.Sprintf("%-4s  %s", finding.Level, finding.Check)
		if finding.Level == doctor.OK {
			f.printf("%s, %s\n", head, finding.Text)
			return
		}
		f.printf("%s\n", head)
		head = strings.Repeat(" ", len("fail  "))
	}
	indent := strings.Repeat(" ", len("fail  ")+width)
	lines := wrap(finding.Text, findingWidth-len(indent))
	if len(lines) > findingLines {
		lines = append(lines[:findingLines-1], "… (--json prints all of it)")
	}
	for i, line := range lines {
		if i > 0 {
			head = indent
		}
		f.printf("%s\n", head+line)
	}
	if finding.Mend != "" {
		for i, line := range wrap(finding.Mend, findingWidth-len(indent)-2) {
			mark := "→ "
			if i > 0 {
				mark = "  "
			}
			f.printf("%s%s%s\n", indent, mark, line)
		}
	}
}

func (f *findings) end(r doctor.Report) {
	warnings, failures := r.Count(doctor.Warn), r.Count(doctor.Fail)
	verdict := "Ready."
	switch {
	case failures > 0:
		verdict = fmt.Sprintf("Not ready: %s to mend.", things(failures, "thing"))
	case warnings > 0:
		verdict = fmt.Sprintf("Ready, with %s.", things(warnings, "warning"))
	}
	f.printf("\n%s\n", verdict)
}

func things(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// wrap breaks a text between words; the lines of the text stay.
func wrap(text string, width int) []string {
	var lines []string
	for paragraph := range strings.SplitSeq(text, "\n") {
		var line string
		for _, word := range strings.Fields(paragraph) {
			switch {
			case line == "":
				line = word
			case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width:
				lines = append(lines, line)
				line = word
			default:
				line += " " + word
			}
		}
		lines = append(lines, line)
	}
	return lines
}
