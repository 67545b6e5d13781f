// Starts Swagger UI in place of its own file of this name.

// Swagger UI fills the field of each parameter with its example or default, and sends all that are filled. A query with every parameter is
// seldom what somebody tries, and most changes of one field contradict another.
const isFilled = ({ required, name }) => required || name === 'bucket';

function withoutFilling(parameter) {
  if (isFilled(parameter)) return parameter;
  const { example, schema: { default: _, ...schema }, ...rest } = parameter;
  return { ...rest, schema };
}

function withFewFilled(document) {
  const paths = structuredClone(document.paths);
  for (const operation of Object.values(paths).flatMap(Object.values)) {
    if (operation.parameters) operation.parameters = operation.parameters.map(withoutFilling);
  }
  return { ...document, paths };
}

const FillLess = () => ({
  statePlugins: { spec: { wrapActions: { updateJsonSpec: (update) => (document) => update(withFewFilled(document)) } } },
});

addEventListener('load', () => {
  SwaggerUIBundle({
    dom_id: '#swagger-ui',
    url: '/openapi.json',
    // The public validator would receive our document.
    validatorUrl: 'none',
    deepLinking: true,
    tryItOutEnabled: true,
    // Without the bar for entering the URL of another document.
    layout: 'BaseLayout',
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
    plugins: [SwaggerUIBundle.plugins.DownloadUrl, FillLess],
  });
});
