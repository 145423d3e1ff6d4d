package telemetry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// The exporters of OTEL_TRACES_EXPORTER.
const (
	exporterOTLP    = "otlp"
	exporterConsole = "console"
	exporterNone    = "none"
)

// The protocols of OTEL_EXPORTER_OTLP_PROTOCOL.
const (
	protocolGRPC     = "grpc"
	protocolProtobuf = "http/protobuf"
	protocolJSON     = "http/json"
)

const (
	variableExporters   = "OTEL_TRACES_EXPORTER"
	variableDisabled    = "OTEL_SDK_DISABLED"
	variableSampler     = "OTEL_TRACES_SAMPLER"
	variableSamplerArg  = "OTEL_TRACES_SAMPLER_ARG"
	variablePropagators = "OTEL_PROPAGATORS"
	prefixOTLP          = "OTEL_EXPORTER_OTLP_"
	prefixOTLPTraces    = "OTEL_EXPORTER_OTLP_TRACES_"
)

// VariableError is an OTEL_ variable whose value is not one that is honoured.
type VariableError struct {
	// Name of the variable. Its value may be a secret and is not kept.
	Name   string
	Reason string
}

func (e *VariableError) Error() string { return e.Name + ": " + e.Reason }

// variables are the OTEL_ ones of an environment that have a value: the
// specification takes an empty one for an unset one. The SDK reads the process's
// environment by itself, and passes over what it cannot read; hence this check.
type variables map[string]string

func otelVariables(environ []string) variables {
	v := make(variables)
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if value = strings.TrimSpace(value); strings.HasPrefix(name, "OTEL_") && value != "" {
			v[name] = value
		}
	}
	return v
}

// disabled reports whether OTEL_SDK_DISABLED turns everything off.
func (v variables) disabled() bool { return strings.EqualFold(v[variableDisabled], "true") }

// exporters are the ones that are asked for; none by default, where the
// specification has otlp: nothing is sent anywhere unasked.
func (v variables) exporters() []string {
	return slices.DeleteFunc(splitList(v[variableExporters]), func(name string) bool { return name == exporterNone })
}

// otlp is an OTLP variable's value: that for traces, else that for all signals.
func (v variables) otlp(name string) string {
	if value := v[prefixOTLPTraces+name]; value != "" {
		return value
	}
	return v[prefixOTLP+name]
}

func (v variables) protocol() string {
	if p := v.otlp("PROTOCOL"); p != "" {
		return p
	}
	return protocolProtobuf
}

// check returns a *VariableError for the first variable, by name, that cannot be
// honoured, and the names of those that mean nothing here.
func (v variables) check() (unused []string, err error) {
	known := knownVariables()
	for _, name := range slices.Sorted(maps.Keys(v)) {
		if (name == "OTEL_METRICS_EXPORTER" || name == "OTEL_LOGS_EXPORTER") && v[name] == exporterNone {
			continue
		}
		check, ok := known[name]
		if !ok {
			unused = append(unused, name)
			continue
		}
		if err := check(v[name]); err != nil {
			return unused, &VariableError{Name: name, Reason: err.Error()}
		}
	}
	return unused, v.checkTogether()
}

// checkTogether looks at variables that depend on each other.
func (v variables) checkTogether() error {
	const queue, batch = "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
	if number(v[batch], defaultBatch) > number(v[queue], defaultQueue) {
		return &VariableError{batch, fmt.Sprintf("is more than %s, which is %d", queue, number(v[queue], defaultQueue))}
	}
	if arg, sampler := v[variableSamplerArg], v[variableSampler]; arg != "" && !strings.HasSuffix(sampler, "traceidratio") {
		return &VariableError{
			variableSamplerArg, "is for the samplers traceidratio and parentbased_traceidratio, and " + variableSampler + " is neither",
		}
	}
	for _, prefix := range []string{prefixOTLP, prefixOTLPTraces} {
		cert, key := v[prefix+"CLIENT_CERTIFICATE"], v[prefix+"CLIENT_KEY"]
		if (cert == "") != (key == "") {
			return &VariableError{prefix + "CLIENT_CERTIFICATE", "and " + prefix + "CLIENT_KEY need each other"}
		}
		if cert != "" {
			if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
				return &VariableError{prefix + "CLIENT_CERTIFICATE", "is no certificate with that key: " + err.Error()}
			}
		}
	}
	endpoint := v.otlp("ENDPOINT")
	if endpoint == "" {
		endpoint = "http:"
	}
	plain := strings.HasPrefix(strings.ToLower(endpoint), "http:")
	if insecure := v.otlp("INSECURE"); insecure != "" && strings.EqualFold(insecure, "true") != plain {
		return &VariableError{v.nameOf("INSECURE"), "contradicts the endpoint, whose scheme says whether TLS is used"}
	}
	if plain && (v.otlp("CERTIFICATE") != "" || v.otlp("CLIENT_CERTIFICATE") != "") {
		return &VariableError{v.nameOf("ENDPOINT"), "has certificates beside it: they need an https:// endpoint"}
	}
	return nil
}

// nameOf is the variable that otlp takes the value from.
func (v variables) nameOf(name string) string {
	if v[prefixOTLPTraces+name] != "" {
		return prefixOTLPTraces + name
	}
	return prefixOTLP + name
}

// knownVariables are the ones that do something, with what is wrong with a value.
func knownVariables() map[string]func(string) error {
	known := map[string]func(string) error{
		variableDisabled:           isBoolean,
		"OTEL_SERVICE_NAME":        func(string) error { return nil },
		"OTEL_RESOURCE_ATTRIBUTES": arePairs,
		variableExporters:          areExporters,
		variablePropagators:        arePropagators,
		variableSampler: isOneOf("always_on", "always_off", "traceidratio",
			"parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"),
		variableSamplerArg: isRatio,
	}
	for _, name := range []string{
		"OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_EXPORT_TIMEOUT", "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
	} {
		known[name] = isAtLeast(1)
	}
	for _, name := range []string{
		"OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
		"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
		"OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_SPAN_LINK_COUNT_LIMIT",
		"OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
	} {
		known[name] = isAtLeast(0)
	}
	for _, prefix := range []string{prefixOTLP, prefixOTLPTraces} {
		known[prefix+"PROTOCOL"] = isOneOf(protocolGRPC, protocolProtobuf, protocolJSON)
		known[prefix+"ENDPOINT"] = isEndpoint
		known[prefix+"HEADERS"] = areHeaders
		known[prefix+"TIMEOUT"] = isAtLeast(1)
		known[prefix+"COMPRESSION"] = isOneOf("gzip", exporterNone)
		known[prefix+"INSECURE"] = isBoolean
		known[prefix+"CERTIFICATE"] = isCertificates
		known[prefix+"CLIENT_CERTIFICATE"] = isReadable
		known[prefix+"CLIENT_KEY"] = isReadable
	}
	return known
}

// splitList reads a list as the specification writes them.
func splitList(value string) (list []string) {
	for part := range strings.SplitSeq(value, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

func isOneOf(allowed ...string) func(string) error {
	return func(value string) error {
		if slices.Contains(allowed, value) {
			return nil
		}
		return fmt.Errorf("%q is not one of %s", value, strings.Join(allowed, ", "))
	}
}

func isBoolean(value string) error {
	if strings.EqualFold(value, "true") || strings.EqualFold(value, "false") {
		return nil
	}
	return fmt.Errorf("%q is not true or false", value)
}

func areExporters(value string) error {
	list := splitList(value)
	for _, name := range list {
		if err := isOneOf(exporterOTLP, exporterConsole, exporterNone)(name); err != nil {
			return err
		}
	}
	if unique := slices.Compact(slices.Sorted(slices.Values(list))); len(unique) != len(list) {
		return fmt.Errorf("%q names an exporter twice", value)
	}
	if len(list) > 1 && slices.Contains(list, exporterNone) {
		return fmt.Errorf("%q asks for none and for others", value)
	}
	return nil
}

func arePropagators(value string) error {
	if list := splitList(value); len(list) != 1 || list[0] != "tracecontext" {
		return fmt.Errorf("%q: semantic carries the W3C trace context, and no other: use tracecontext", value)
	}
	return nil
}

func isRatio(value string) error {
	if ratio, err := strconv.ParseFloat(value, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
		return fmt.Errorf("%q is not a number between 0 and 1", value)
	}
	return nil
}

func isAtLeast(low int) func(string) error {
	return func(value string) error {
		if n, err := strconv.Atoi(value); err != nil || n < low {
			return fmt.Errorf("%q is not a whole number of at least %d", value, low)
		}
		return nil
	}
}

// number is that of a value that was checked, or preset where there is none.
func number(value string, preset int) int {
	if n, err := strconv.Atoi(value); err == nil {
		return n
	}
	return preset
}

// isEndpoint does not show the value: it may have a password.
func isEndpoint(value string) error {
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("is not a URL like http://127.0.0.1:4317")
	case u.User != nil:
		return errors.New("has a user in it, which is not sent: use " + prefixOTLP + "HEADERS")
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New("has a query or a fragment, which is not sent")
	}
	return nil
}

// areHeaders does not show the values: they are mostly keys.
func areHeaders(value string) error {
	for i, pair := range strings.Split(value, ",") {
		name, text, ok := strings.Cut(pair, "=")
		if _, err := url.PathUnescape(text); !ok || err != nil || !httpguts.ValidHeaderFieldName(strings.TrimSpace(name)) {
			return fmt.Errorf("its part %d is not a NAME=VALUE with the value percent-encoded", i+1)
		}
	}
	return nil
}

func arePairs(value string) error {
	for i, pair := range strings.Split(value, ",") {
		name, text, ok := strings.Cut(pair, "=")
		if _, err := url.PathUnescape(text); !ok || err != nil || strings.TrimSpace(name) == "" {
			return fmt.Errorf("its part %d is not a NAME=VALUE with the value percent-encoded", i+1)
		}
	}
	return nil
}

func isReadable(path string) error {
	if _, err := os.ReadFile(path); err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	return nil
}

func isCertificates(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(data) {
		return errors.New("has no PEM certificate in it")
	}
	return nil
}
