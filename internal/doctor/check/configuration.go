package check

import (
	"context"
	_ "embed" // the page
	"errors"
	"fmt"

	"sallyport/internal/config"
	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
)

//go:embed config.md
var configPage string

func configuration() doctor.Check {
	return doctor.Check{
		ID: "config", Title: "The configuration can be loaded, and nothing in it is doubtful", Severity: doctor.Medium,
		Asks: "sallyport.yaml and services.d: does it load, and what does it warn of?",
		Page: configPage, Look: lookAtConfig,
	}
}

func lookAtConfig(_ context.Context, on *site.Site) (seen []doctor.Seen, err error) {
	c, warnings, err := on.Config()
	if err != nil {
		errs, is := errors.AsType[config.Errors](err)
		if !is {
			return nil, err
		}
		for _, one := range errs {
			s := doctor.Bad(one.File, one.Message, one.Hint)
			s.File, s.Line = one.File, one.Line
			seen = append(seen, s)
		}
		return seen, nil
	}
	for _, one := range warnings {
		s := doctor.Doubtful(one.File, one.Message, one.Hint)
		s.File, s.Line = one.File, one.Line
		seen = append(seen, s)
	}
	if len(seen) == 0 {
		seen = append(seen, doctor.Good("sallyport.yaml", fmt.Sprintf("%d services, %d tokens, %d rotations",
			len(c.Services), len(c.Tokens), len(c.Rotations))))
	}
	return seen, nil
}
