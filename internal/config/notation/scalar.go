package notation

import (
	"errors"
	"strconv"
)

// ParseBool reads a truth value as YAML 1.2 writes it.
func ParseBool(s string) (bool, error) {
	switch s {
	case "true", "True", "TRUE":
		return true, nil
	case "false", "False", "FALSE":
		return false, nil
	}
	return false, errors.New("want true or false")
}

// ParseInt reads a whole number.
func ParseInt(s string) (int, error) {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return 0, errors.New("want a whole number")
	}
	return int(n), nil
}
