{{- /* Text of a value; templates in it are rendered. */ -}}
{{- define "shop.render" -}}
{{- $value := typeIs "string" .value | ternary .value (.value | toYaml) }}
{{- if contains "{{" (toJson .value) }}
  {{- tpl $value .context }}
{{- else }}
  {{- $value }}
{{- end }}
{{- end -}}

{{- define "shop.image" -}}
{{- $registry := .global.registry | default "docker.io" -}}
{{- printf "%s/%s:%s" $registry .image.name (coalesce .image.tag .tag "latest") -}}
{{- end -}}

{{- define "shop.securityContext" -}}
{{- toYaml (mergeOverwrite (deepCopy .defaults) (.own | default dict)) -}}
{{- end -}}

{{- define "shop.enabled" -}}
{{- if .Values.debug -}}
true
{{- end -}}
{{- end -}}
