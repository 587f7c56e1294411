package doctor

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"time"
)

// The parts of SARIF 2.1.0 (OASIS standard of 2020-03-27) that are written.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool         `json:"tool"`
		Invocations []sarifInvocation `json:"invocations"`
		Results     []sarifResult     `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID         string         `json:"id"`
		Short      sarifText      `json:"shortDescription"`
		Full       sarifText      `json:"fullDescription"`
		Help       sarifText      `json:"help"`
		Defaults   sarifDefault   `json:"defaultConfiguration"`
		Properties map[string]any `json:"properties"`
	}
	sarifDefault struct {
		Level string `json:"level"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifInvocation struct {
		Successful bool   `json:"executionSuccessful"`
		Began      string `json:"startTimeUtc"`
		Ended      string `json:"endTimeUtc"`
	}
	sarifResult struct {
		Rule         string            `json:"ruleId"`
		Index        int               `json:"ruleIndex"`
		Kind         string            `json:"kind"`
		Level        string            `json:"level"`
		Message      sarifText         `json:"message"`
		Locations    []sarifLocation   `json:"locations"`
		Fingerprints map[string]string `json:"partialFingerprints"`
	}
	sarifLocation struct {
		Physical *sarifPhysical `json:"physicalLocation,omitempty"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		Line int `json:"startLine"`
	}
	sarifLogical struct {
		Name string `json:"fullyQualifiedName"`
	}
)

const sarifSchema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

// SARIF writes a report as SARIF 2.1.0. What could not be looked at is a result of kind "open", which is no pass.
func SARIF(w io.Writer, r Report) error {
	run := sarifRun{
		Tool: sarifTool{Driver: sarifDriver{Name: "sallyport doctor", Version: r.Version, Rules: []sarifRule{}}},
		Invocations: []sarifInvocation{{
			Successful: r.Counts.Unseen == 0,
			Began:      r.Began.UTC().Format(time.RFC3339), Ended: r.Ended.UTC().Format(time.RFC3339),
		}},
		Results: []sarifResult{},
	}
	for i := range r.Results {
		one := &r.Results[i]
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{
			ID: one.ID, Short: sarifText{one.Title}, Full: sarifText{one.Asks}, Help: sarifText{"see " + one.Page},
			Defaults: sarifDefault{map[bool]string{true: "warning", false: "error"}[one.Severity == Medium]},
			Properties: map[string]any{
				"problem.severity": string(one.Severity), "tags": []string{"security"},
				"security-severity": map[Severity]string{Critical: "9.5", High: "8.0", Medium: "5.0"}[one.Severity],
			},
		})
		for _, s := range one.Seen {
			run.Results = append(run.Results, sarifOf(one.ID, i, s))
		}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	err := enc.Encode(sarifLog{Schema: sarifSchema, Version: "2.1.0", Runs: []sarifRun{run}})
	if err != nil {
		return fmt.Errorf("writing the report as SARIF: %w", err)
	}
	return nil
}

func sarifOf(id string, index int, s Seen) sarifResult {
	kind := map[Status]string{OK: "pass", Unseen: "open"}[s.Status]
	level := "none" // as the standard wants it for any kind but fail
	if kind == "" {
		kind, level = "fail", map[bool]string{true: "error", false: "warning"}[s.Status == Failed]
	}
	text := s.Subject + ": " + s.Evidence
	if s.Remedy != "" {
		text += ". To do: " + s.Remedy
	}
	location := sarifLocation{Logical: []sarifLogical{{s.Subject}}}
	if s.File != "" {
		location = sarifLocation{Physical: &sarifPhysical{Artifact: sarifArtifact{fileURI(s.File)}}}
		if s.Line > 0 {
			location.Physical.Region = &sarifRegion{s.Line}
		}
	}
	sum := sha256.Sum256([]byte(id + "\x00" + s.Subject + "\x00" + s.File + "\x00" + s.Evidence))
	return sarifResult{
		Rule: id, Index: index, Kind: kind, Level: level, Message: sarifText{text},
		Locations:    []sarifLocation{location},
		Fingerprints: map[string]string{"doctor/v1": hex.EncodeToString(sum[:16])},
	}
}

// fileURI is the name of a file as a URI: relative where the name is.
func fileURI(name string) string {
	u := url.URL{Path: filepath.ToSlash(name)}
	if filepath.IsAbs(name) {
		u.Scheme = "file"
	}
	return u.String()
}
