// Command compliance checks the licences of all that semantic is made of, and
// makes NOTICE, the licence texts of a release, and bills of materials.
//
//	compliance check                     licences against the allow-list
//	compliance notice FILE               make NOTICE
//	compliance third-party DIR           collect the licence texts
//	compliance sbom OUT RELEASE BINARY…  bills of the source and of binaries
//	compliance vuln [-lenient]           known vulnerabilities
//
// It is run anywhere within the module.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/semantic-worker/semantic/deploy"
	"github.com/semantic-worker/semantic/deploy/compliance"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "compliance:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: compliance check | notice FILE | third-party DIR | sbom OUT RELEASE BINARY... | vuln [-lenient]")

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	name, args := args[0], args[1:]
	switch {
	case name == "check" && len(args) == 0,
		(name == "notice" || name == "third-party") && len(args) == 1,
		name == "sbom" && len(args) > 2,
		name == "vuln" && (len(args) == 0 || len(args) == 1 && args[0] == "-lenient"):
	default:
		return errUsage
	}
	root, err := compliance.Root(ctx)
	if err != nil {
		return err
	}
	if name == "vuln" {
		return vuln(ctx, root, len(args) == 1, out)
	}
	lock, err := deploy.RuntimeLock()
	if err != nil {
		return err
	}
	entries, err := compliance.Load()
	if err != nil {
		return err
	}
	if err := entries.Check(lock); err != nil {
		return err
	}
	modules, err := compliance.Find(ctx, root, lock, entries)
	if err != nil {
		return err
	}
	if err := entries.CheckModules(modules); err != nil {
		return err
	}
	switch name {
	case "check":
		return say(out, "%d modules, %d native works and %d model, on %d platforms: all under allowed licences\n",
			len(modules), len(entries.Native), len(entries.Models), len(lock.Runtimes))
	case "notice":
		data, err := compliance.Notice(lock, entries, modules)
		if err != nil {
			return err
		}
		if err := os.WriteFile(args[0], data, 0o644); err != nil {
			return fmt.Errorf("notice: %w", err)
		}
		return nil
	case "third-party":
		if err := compliance.WriteThirdParty(ctx, root, args[0], entries, modules); err != nil {
			return err
		}
		return say(out, "%s\n", args[0])
	default:
		bills := &compliance.Bills{Root: root, Out: args[0], Release: args[1], Lock: lock, Entries: entries, Modules: modules}
		return sbom(ctx, bills, args[2:], out)
	}
}

func sbom(ctx context.Context, bills *compliance.Bills, binaries []string, out io.Writer) error {
	if err := bills.Open(ctx); err != nil {
		return err
	}
	file, err := bills.Source(ctx)
	if err != nil {
		return err
	}
	if err := say(out, "%s\n", file); err != nil {
		return err
	}
	for _, b := range binaries {
		path, err := filepath.Abs(b)
		if err != nil {
			return fmt.Errorf("sbom: %w", err)
		}
		if file, err = bills.Binary(ctx, path); err != nil {
			return err
		}
		if err := say(out, "%s\n", file); err != nil {
			return err
		}
	}
	return nil
}

// vuln is lenient where the machine is at fault, not the program, if asked to.
func vuln(ctx context.Context, root string, lenient bool, out io.Writer) error {
	scan, err := compliance.CheckVulnerabilities(ctx, root)
	if err != nil {
		return err
	}
	if err := say(out, "asked %s, about %s; %d called, %d only present\n",
		scan.Database, scan.GoVersion, len(scan.Called), len(scan.Present)); err != nil {
		return err
	}
	for _, v := range scan.Present {
		if err := say(out, "present, not called: %s\n", v); err != nil {
			return err
		}
	}
	if err := scan.Err(); !lenient || !errors.Is(err, compliance.ErrMachine) {
		return err
	}
	return say(out, "NOT A FULL CHECK, passed because of -lenient: %v\n", scan.Err())
}

func say(out io.Writer, format string, args ...any) error {
	if _, err := fmt.Fprintf(out, format, args...); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
