// Package config is the configuration of semantic: one list of settings, from
// which come the flags of every command, the SEMANTIC_* variables and the keys
// of the YAML file, so that a setting has one name, one meaning and one check.
//
// A setting named "nats-port" is the flag --nats-port, the variable
// SEMANTIC_NATS_PORT and the key `nats-port:`. A flag beats the environment,
// the environment beats the file, the file beats the default. [Load] refuses
// unknown keys of the file and values that do not fit, naming the key and
// where it was set; [Loaded.Rows] tells every effective value and its source.
package config
