package cli

import (
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/telemetry"
	"github.com/semantic-worker/semantic/schemas"
)

// logFileFlag is a flag of the commands that serve; others leave the file of the
// configuration to those.
const logFileFlag = "log-file"

// openLog makes the logger that the configuration describes. What is wrong with
// its file becomes the error of the configuration.
func (a *app) openLog(cmd *cobra.Command) {
	o := telemetry.LogOptions{Level: a.Level, Terminal: terminal(a.Err), NoColor: a.Getenv("NO_COLOR") != ""}
	to := a.Err
	if a.loadedErr == nil {
		o.Format = telemetry.LogFormat(a.loaded.LogFormat)
		if level, err := telemetry.ParseLevel(a.loaded.LogLevel); err == nil {
			a.Level.Set(level)
		}
		if path := a.loaded.LogFile; path != "" && cmd.Flags().Lookup(logFileFlag) != nil {
			o.Terminal = false
			file, err := telemetry.OpenLogFile(path, a.Err, o)
			if err != nil {
				a.loadedErr = logFileHint(&config.Error{Key: logFileFlag, Source: a.loaded.Source(logFileFlag), Err: err})
			} else {
				a.LogFile, to = file, file
			}
		}
	}
	a.Log = telemetry.NewLogger(to, o)
}

func logFileHint(err error) error {
	if errors.Is(err, telemetry.ErrLogFileInUse) {
		return withHint(err, "Give each process of this machine its own --log-file.")
	}
	return err
}

// childLog is where the lines of a child process go, and what is to be called
// after its end. Without a file it shares this process's error output, and writes
// for a terminal if that is one.
func (a *app) childLog() (to io.Writer, ended func()) {
	if a.LogFile == nil {
		return a.Err, func() {}
	}
	relay := telemetry.NewRelay(a.LogFile, a.Log.With(schemas.LogChild, "worker"), fileFormat(a.loaded))
	return relay, relay.Flush
}

// childFormat is the format that a child process is told.
func childFormat(c *config.Loaded) string {
	if c.LogFile == "" {
		return c.LogFormat
	}
	return string(fileFormat(c))
}

// fileFormat is the format of lines in a file.
func fileFormat(c *config.Loaded) telemetry.LogFormat {
	if c.LogFormat == string(telemetry.LogConsole) {
		return telemetry.LogConsole
	}
	return telemetry.LogJSON
}

// warnOfContent says at a start that the logs are no longer harmless.
func (a *app) warnOfContent(c *config.Loaded) {
	if c.LogContent {
		a.Log.Warn("prompts and answers are logged (--log-content): who reads the logs reads what users wrote")
	}
}

// closeLog is the last thing that a process does with its log.
func (a *app) closeLog() {
	if a.LogFile == nil {
		return
	}
	if err := a.LogFile.Close(); err != nil {
		a.notef("semantic: %v\n", err)
	}
}
